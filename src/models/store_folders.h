#pragma once

#include <compare>
#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "inference/model_id.h"
#include "models/store_files.h"

namespace ncn::models {

// An entry of one of the store's folders.
struct EntryPlace {
  std::size_t folder = 0;  // Which of them.
  std::string entry;
  friend auto operator<=>(const EntryPlace&, const EntryPlace&) = default;
};

// The folders that models lie in, and which entries of theirs are models by name. Immutable.
class StoreFolders {
 public:
  // As the operator wrote them; messages repeat it.
  explicit StoreFolders(std::vector<std::filesystem::path> paths);

  const std::vector<std::filesystem::path>& paths() const { return paths_; }

  // Those that are there, opened, by index. One that two paths lead to is there once. `problems`
  // gets the others' errors.
  std::map<std::size_t, FolderFd> Open(std::map<std::size_t, absl::Status>& problems) const;

  // The name of the model that an entry of `folder` is; empty when it is none. May be none that a
  // ModelId can have.
  std::string NameOf(std::size_t index, const FolderFd& folder, const Entry& entry) const;
  // The entries that are the model `id`, without listing the folders.
  std::set<EntryPlace> EntriesOf(const std::map<std::size_t, FolderFd>& opened,
                                 const inference::ModelId& id) const;

  // A folder's own absolute path.
  const std::filesystem::path& TopOf(std::size_t folder) const { return absolute_[folder]; }
  std::filesystem::path PathOf(const EntryPlace& place) const {
    return paths_[place.folder] / place.entry;
  }
  std::filesystem::path AbsolutePathOf(const EntryPlace& place) const {
    return absolute_[place.folder] / place.entry;
  }

 private:
  std::vector<std::filesystem::path> paths_;
  std::vector<std::filesystem::path> absolute_;
};

}  // namespace ncn::models
