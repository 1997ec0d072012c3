#pragma once

#include <filesystem>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ncn::apps {

// Makes `folder` (mode 0700) when it is missing and locks it for as long as the returned descriptor
// is open, so that two nodes never share one wallet and control socket. FailedPrecondition when
// another node holds it.
absl::StatusOr<base::UniqueFd> LockStateFolder(const std::filesystem::path& folder);

}  // namespace ncn::apps
