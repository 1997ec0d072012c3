#pragma once

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ncn::transfer {

struct UnpackLimits {
  std::size_t entries_max = 10'000;                   // Files and folders.
  std::uint64_t bytes_max = std::uint64_t{64} << 30;  // Of all files together, unpacked.
  std::uint64_t ratio_max = 1000;                     // Unpacked bytes for a byte of the archive,
  std::uint64_t ratio_free_bytes = std::uint64_t{64} << 20;  // once there are more than these.
  std::uint64_t reserve_bytes = 0;  // Of the disk, stay free; looked at every few MiB.
};

struct UnpackedFile {
  std::string path;  // Relative to the folder.
  std::uint64_t size_bytes = 0;
};

// Unpacks the tar.gz or zip archive behind `archive_fd` (a regular file; its offset does not
// matter) into the folder behind `folder_fd`, syncs it to disk, and returns its files in the
// archive's order. Nothing outside the folder is touched and nothing in it replaced. Files get mode
// 0644, or 0755 when their owner may execute them, folders 0755. What follows the end of the
// archive is ignored. When it fails, everything that it made is removed.
//   InvalidArgument     neither tar.gz nor zip, damaged, or an entry that may not be, named: an
//                       absolute path, "..", ".ncn", an empty component or one above 255 bytes, a
//                       path above 1024 bytes or deeper than 8, control characters, a link, device,
//                       FIFO, sparse or encrypted file
//   AlreadyExists       two files of one name, a file where another needs a folder, or either of
//   them
//                       in the folder already; a folder that is there is used
//   OutOfRange          past a limit on what an archive may hold
//   ResourceExhausted   the disk is full but for the reserve
//   Cancelled           `stop` was requested
absl::StatusOr<std::vector<UnpackedFile>> Unpack(int archive_fd, int folder_fd,
                                                 const UnpackLimits& limits = {},
                                                 std::stop_token stop = {});

}  // namespace ncn::transfer
