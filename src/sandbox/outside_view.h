#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "sandbox/cgroup.h"
#include "sandbox/launch_protocol.h"

namespace ncn::sandbox {

// Looks at a held process from outside, by what the kernel says of it in /proc, and compares that
// with what was asked for: identity, capabilities, no_new_privs, seccomp, namespaces, mounts,
// descriptors, rlimits, control group. FailedPrecondition names the first difference. `pid` is the
// process in the caller's pid namespace; `cgroup` may be null.
absl::Status VerifyFromOutside(pid_t pid, const LaunchRequest& request, const Cgroup* cgroup);

// The parts, for tests: the content of /proc/PID/status, /proc/PID/mountinfo and /proc/PID/limits.
absl::Status VerifyStatusFile(std::string_view status, const LaunchRequest& request);
absl::Status VerifyMounts(std::string_view mountinfo, const LaunchRequest& request);
absl::Status VerifyRlimits(std::string_view limits, const LaunchRequest& request);

}  // namespace ncn::sandbox
