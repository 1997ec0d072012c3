#pragma once

#include <sys/types.h>

#include "sandbox/launch_protocol.h"
#include "sandbox/setup_journal.h"

namespace ncn::sandbox {

// The layers that a process puts on itself, each for ever and for all its children. Each returns
// false when set-up must stop. For single-threaded processes.

// Becomes the mapped user and group, without supplementary groups where they can be dropped.
[[nodiscard]] bool TakeIdentity(const LaunchRequest& request, SetupJournal& journal);
// no_new_privs, and speculative execution attacks made harder where the processor allows.
[[nodiscard]] bool ForbidNewPrivileges(SetupJournal& journal);
// Empties the effective, permitted, inheritable, bounding and ambient sets, and locks the bits that
// would let a set-uid program or uid 0 refill them.
[[nodiscard]] bool DropCapabilities(SetupJournal& journal);
[[nodiscard]] bool SetRlimits(const LaunchRequest& request, SetupJournal& journal);
// Installs the filter, an array of sock_filter. The number of its listener's descriptor goes to
// `listener`; with null there is none, and a hostile call fails with ENOSYS.
[[nodiscard]] bool InstallSeccomp(const std::string& bpf, int* listener, SetupJournal& journal);
// Leaves no system call but those of a process that waits for its children, writes to a descriptor,
// allocates memory and exits; any other kills it. False with errno set.
[[nodiscard]] bool AllowOnlyReaping();

}  // namespace ncn::sandbox
