#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ncn::transfer {

// The path of an archive's entry as files are made of it: without "./" before and "/" behind.
// Empty: the folder itself. InvalidArgument says why it may not be; see Unpack.
absl::StatusOr<std::string> CheckedEntryPath(const std::string& path, bool is_folder);

// Makes files and folders below a folder, and takes them away again unless told to keep them. Paths
// are ones that CheckedEntryPath returned. Not thread-safe.
class TreeWriter {
 public:
  // `folder_fd` stays the caller's and outlives the writer.
  explicit TreeWriter(int folder_fd) : folder_fd_(folder_fd) {}
  ~TreeWriter();
  TreeWriter(const TreeWriter&) = delete;
  TreeWriter& operator=(const TreeWriter&) = delete;

  // A folder and those above it, unless they are there.
  absl::Status MakeFolder(const std::string& path);
  // A new file, for writing, with the folders above it. AlreadyExists when something has its name.
  absl::StatusOr<base::UniqueFd> MakeFile(const std::string& path);
  // Syncs everything to disk; from then on it stays.
  absl::Status Keep();

 private:
  struct Made {
    std::string path;
    bool is_folder = false;
  };

  const int folder_fd_;
  std::vector<Made> made_;  // In order.
};

}  // namespace ncn::transfer
