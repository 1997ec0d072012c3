#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ncn::base {

// Reads a regular file of at most `bytes_max` bytes. ResourceExhausted when it is larger.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, std::size_t bytes_max);

// Reads everything from the current offset of `fd` to its end; ResourceExhausted past `bytes_max`.
absl::StatusOr<std::string> ReadAll(int fd, std::size_t bytes_max);

// Writes all of `bytes`, in as many calls as it takes.
absl::Status WriteAll(int fd, std::string_view bytes);

// Replaces `path` so that a reader sees the old content or the new, never a part: temporary file in
// the same folder, fsync, rename. `mode` is the permission of the new file.
absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes,
                                 unsigned mode);

// A memfd that holds `bytes` and can no longer be changed by anybody. `name` shows in /proc only.
absl::StatusOr<UniqueFd> SealedMemory(const char* name, std::string_view bytes);

}  // namespace ncn::base
