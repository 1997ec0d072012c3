#pragma once

#include <string>
#include <vector>

#include "sandbox/launch_protocol.h"

namespace ncn::sandbox {

// The descriptors that a mini-init starts with; all are its own.
struct InitDescriptors {
  int control = -1;          // Its end of the sandbox's channel to the node.
  int output = -1;           // Becomes stdout of the payload.
  int errors = -1;           // Becomes stderr.
  int mapped = -1;           // Yields one byte when the launcher has written the identity maps.
  std::vector<int> cgroups;  // Where to write "0" to join the control groups.
};

// What pid 1 of a sandbox does, right after clone3 and until it ends: builds the tree, drops what
// it can, makes the payload (pid 2), which puts on the remaining layers, says that it is held and
// waits for kGo; then reaps, reports how the payload ended, and exits, which ends all that is left
// inside. `bpf` is the seccomp filter. The caller must be single-threaded.
[[noreturn]] void RunSandboxInit(const LaunchRequest& request, const std::string& bpf,
                                 const InitDescriptors& descriptors);

}  // namespace ncn::sandbox
