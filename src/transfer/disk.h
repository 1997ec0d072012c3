#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ncn::transfer {

// ResourceExhausted, with the numbers, unless the file system of `fd` has room for `needed_bytes`
// more and a reserve.
absl::Status CheckFreeSpace(int fd, std::uint64_t needed_bytes, std::uint64_t reserve_bytes);

// What a file takes up.
inline std::uint64_t AllocatedBytes(const struct stat& info) {
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

// Whether `path` is a regular file of this size and SHA-256. Cancelled when `stop` is requested.
absl::StatusOr<bool> HasContent(const std::filesystem::path& path, std::uint64_t size_bytes,
                                const std::string& sha256, const std::stop_token& stop);

// Copies the file behind `fd` to `target`, by way of the file `temporary`, synced. Cancelled when
// `stop` is requested.
absl::Status CopyToTarget(int fd, const std::string& temporary, const std::filesystem::path& target,
                          const std::stop_token& stop);

// Makes the names in `folder` durable.
absl::Status SyncFolder(const std::filesystem::path& folder);

// Writes all of `bytes` at `offset`; errors as of WriteStatus.
absl::Status WriteAt(int fd, std::uint64_t offset, std::string_view bytes);

// A failed system call that writes; a quota and a limit on the size of files are full disks, too.
absl::Status WriteStatus(int error, std::string_view what);

}  // namespace ncn::transfer
