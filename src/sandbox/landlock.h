#pragma once

#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "sandbox/launch_protocol.h"

namespace ncn::sandbox {

// The Landlock ABI of the running kernel; 0 when there is none.
int LandlockAbi();

// Confines the calling thread and its children for ever to `paths`, with everything that the
// kernel's ABI can restrict: file rights, TCP, ioctl on devices, signals and abstract sockets
// beyond the sandbox. Needs no_new_privs. Returns 0 or an errno; `failed` then says at what.
int RestrictWithLandlock(int abi, const std::vector<LandlockPath>& paths, std::string_view& failed);

}  // namespace ncn::sandbox
