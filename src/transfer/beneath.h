#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ncn::transfer {

// Opens `path` within the folder behind `folder_fd`, through no symbolic link and never outside of
// it. `flags` and `mode` as for open(2); always O_CLOEXEC. Errors name the path.
absl::StatusOr<base::UniqueFd> OpenBeneath(int folder_fd, const std::string& path, int flags,
                                           unsigned mode = 0);

}  // namespace ncn::transfer
