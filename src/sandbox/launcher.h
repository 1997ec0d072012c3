#pragma once

#include <string>
#include <vector>

namespace ncn::sandbox {

// The launcher program: takes LaunchRequests from the SOCK_SEQPACKET socket `requests` and makes
// sandboxes, until the other side closes it; then kills every sandbox, removes `cgroup_folders`
// (each with its own sub-folders), and returns the exit code. For a process of a single thread.
int RunLauncher(int requests, const std::vector<std::string>& cgroup_folders);

}  // namespace ncn::sandbox
