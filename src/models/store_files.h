#pragma once

#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ncn::models {

// Which file it is, and in which state. Two looks that see the same identity see the same content,
// except for a change within the tick of the clock in which the file was last changed: see
// IsSettled.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  friend auto operator<=>(const FileIdentity&, const FileIdentity&) = default;
};

FileIdentity IdentityFrom(const struct stat& info);

// Whether the file's last change is so long ago that another would show in its times.
bool IsSettled(const FileIdentity& identity);

// Aborted: what was read of `name` is neither its old nor its new content.
absl::Status ChangedWhileRead(std::string_view name);

// The identity of an open regular file; FailedPrecondition for anything else. `name` is for
// messages.
absl::StatusOr<FileIdentity> IdentityOf(int fd, std::string_view name);

enum class EntryKind { kFile, kFolder, kSymlink, kOther };
struct Entry {
  std::string name;
  EntryKind kind = EntryKind::kOther;
  FileIdentity identity;  // Of whatever it is.
};

struct TreeFile {
  std::string path;  // Relative to the folder.
  FileIdentity identity;
  friend bool operator==(const TreeFile&, const TreeFile&) = default;
};

// All files below a folder, hidden ones too, in order of paths. FailedPrecondition when something
// is neither file nor folder; ResourceExhausted beyond 10,000 files or 8 levels.
absl::StatusOr<std::vector<TreeFile>> TreeBelow(int folder);

// An open folder, below which nothing is reached through symbolic links or "..". Thread-safe.
class FolderFd {
 public:
  // The folder itself may be reached through links: its path is the operator's own.
  static absl::StatusOr<FolderFd> Open(const std::filesystem::path& path);
  explicit FolderFd(base::UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  // Which folder it is, and in which state.
  absl::StatusOr<FileIdentity> Identity() const;

  // A regular file for reading, with its identity. NotFound, or FailedPrecondition when it is, or
  // lies behind, a symbolic link or is no regular file.
  struct File {
    base::UniqueFd fd;
    FileIdentity identity;
  };
  absl::StatusOr<File> OpenFile(const std::string& path) const;
  // The same, provided that it is still the one that was listed: Aborted otherwise.
  absl::StatusOr<File> OpenListed(const TreeFile& listed) const;
  absl::StatusOr<FolderFd> OpenFolder(const std::string& path) const;

  // What is at `name`; NotFound when nothing is.
  absl::StatusOr<Entry> Look(const std::string& name) const;
  // The names in the folder, sorted.
  absl::StatusOr<std::vector<std::string>> Names() const;
  // The folders in the folder, hidden ones too.
  absl::StatusOr<std::vector<std::string>> Folders() const;
  // Everything in the folder but hidden entries, in order of names.
  absl::StatusOr<std::vector<Entry>> List() const;
  absl::StatusOr<std::vector<TreeFile>> Tree() const { return TreeBelow(fd_.get()); }

 private:
  base::UniqueFd fd_;
};

}  // namespace ncn::models
