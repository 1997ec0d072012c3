#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace ncn::base {

// A status for a failed system call: "<what>: <strerror>", with the code that fits `error` (ENOENT
// → NotFound, EACCES/EPERM → PermissionDenied, ENOSPC/EMFILE/ENOMEM → ResourceExhausted, …).
absl::Status ErrnoStatus(int error, std::string_view what);

// "ENOENT" for 2; "unknown errno" for a number that has no name.
std::string_view ErrnoName(int error);

}  // namespace ncn::base
