#pragma once

#include <string>
#include <vector>

namespace ncn::sandbox {

// The launcher program: takes CloneRequests from the SOCK_SEQPACKET socket `requests` and makes the
// mini-inits of sandboxes, until the other side closes it; then kills every sandbox, removes
// `cgroup_folders` (each with its own sub-folders), and returns the exit code. `doorbell`, an
// eventfd that counts down by one, tells of each request after it was sent. For a process of a
// single thread.
int RunLauncher(int requests, int doorbell, const std::vector<std::string>& cgroup_folders);

// The same for a zygote, which keeps its control groups and its signal handlers: true in each
// child, which is then in its sandbox and may go; false in the zygote, at the end.
bool ServeAsZygote(int requests, int doorbell);

}  // namespace ncn::sandbox
