#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "models/store_folders.h"

namespace ncn::models {

// Hears from the kernel (inotify) which entries of the store's folders something happened to, at
// any depth. Holds one watch for each folder, up to a bound. For one thread.
class FolderWatch {
 public:
  struct Options {
    std::size_t watches_max = 32'768;  // About a KiB of the kernel's memory each.
    int depth_max = 9;                 // A model's own levels, and its folder.
  };
  // Begins to watch. What cannot be watched, or not all, shows in gap.
  FolderWatch(const StoreFolders& folders, const Options& options);

  // To an entry as the last of what happened to it.
  struct Happened {
    std::set<EntryPlace> changed;  // Something is finished: closed, renamed, removed.
    std::set<EntryPlace> written;  // Something is being written to, and not closed yet.
    bool anything = false;         // Everything must be looked at again.
  };
  // Takes what has happened, without waiting. Folders that came are watched from now on.
  Happened Take();
  // Readable when there is something to take; -1 when there is no inotify.
  int fd() const { return inotify_.get(); }

  // Whether another folder is now where one of the store's is watched, or is to be: Take then says
  // that anything may have happened, and watches it. The kernel does not tell of all ways to it.
  void CheckFolders();

  // Why not everything is watched; empty when it is.
  const std::string& gap() const { return gap_; }

 private:
  struct Watched {
    std::size_t folder = 0;
    std::string path;  // Within it; empty for itself.
  };
  struct Top {
    base::UniqueFd fd;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
  };

  void Begin();
  void WatchTop(std::size_t folder);
  // The folder, and all that are below it.
  void WatchBelow(std::size_t folder, const std::string& path, int depth);
  void Unwatch(std::size_t folder, const std::string& path);
  bool AddWatch(std::size_t folder, const std::string& path);
  void Read(std::uint32_t mask, int watch, const std::string& name, Happened& happened);

  const StoreFolders& folders_;
  const Options options_;
  base::UniqueFd inotify_;
  std::map<int, Watched> watched_;                               // By watch descriptor.
  std::map<std::pair<std::size_t, std::string>, int> watch_of_;  // The reverse.
  std::map<std::size_t, Top> tops_;                              // Those that are there.
  std::string gap_;
  bool begin_again_ = false;
};

}  // namespace ncn::models
