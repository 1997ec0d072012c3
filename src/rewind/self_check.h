#pragma once

#include "absl/status/statusor.h"
#include "rewind/restorer.h"

namespace ncn::rewind {

// Forks a process that counts, rewinds it, and looks whether it has forgotten: whether this kernel
// can do what a rewind needs. The error tells what is in the way. For a process that shares no
// memory with others yet, and holds no secret.
absl::StatusOr<RewindReport> CheckKernel();

}  // namespace ncn::rewind
