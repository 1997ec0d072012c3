#pragma once

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

// Whether the file's last change is so long ago that another would show in its times.
bool IsSettled(const FileIdentity& identity);

// The identity of an open regular file; FailedPrecondition for anything else. `name` is for
// messages.
absl::StatusOr<FileIdentity> IdentityOf(int fd, std::string_view name);

enum class EntryKind { kFile, kFolder, kSymlink, kOther };
struct Entry {
  std::string name;
  EntryKind kind = EntryKind::kOther;
};

struct TreeFile {
  std::string path;  // Relative to the folder.
  FileIdentity identity;
  friend bool operator==(const TreeFile&, const TreeFile&) = default;
};

// An open folder, below which nothing is reached through symbolic links or "..". Thread-safe.
class FolderFd {
 public:
  // The folder itself may be reached through links: its path is the operator's own.
  static absl::StatusOr<FolderFd> Open(const std::filesystem::path& path);

  // A regular file for reading, with its identity. NotFound, or FailedPrecondition when it is, or
  // lies behind, a symbolic link or is no regular file.
  struct File {
    base::UniqueFd fd;
    FileIdentity identity;
  };
  absl::StatusOr<File> OpenFile(const std::string& path) const;
  absl::StatusOr<FolderFd> OpenFolder(const std::string& path) const;

  // What is at `name`; NotFound when nothing is.
  absl::StatusOr<Entry> Look(const std::string& name) const;
  // Everything in the folder but hidden entries, in order of names.
  absl::StatusOr<std::vector<Entry>> List() const;
  // All files below the folder, hidden ones too, in order of paths. FailedPrecondition when
  // something is neither file nor folder; ResourceExhausted beyond 10,000 files or 8 levels.
  absl::StatusOr<std::vector<TreeFile>> Tree() const;

 private:
  explicit FolderFd(base::UniqueFd fd) : fd_(std::move(fd)) {}

  base::UniqueFd fd_;
};

}  // namespace ncn::models
