#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "sandbox/launch_protocol.h"
#include "sandbox/setup_journal.h"

namespace ncn::sandbox {

// How a process that was just cloned becomes a sandbox: what a mini-init, its payload and a
// zygote's child share. For single-threaded processes; a failure is told to the node and ends the
// process.

inline constexpr int kControlInside = 3;     // Where the sandbox's channel is.
inline constexpr int kWorkFolderInside = 4;  // /work, for the node to take.
inline constexpr int kSetupFailed = 125;     // Exit status.

// What the node wants to be made.
struct Orders {
  LaunchRequest request;
  std::string bpf;       // The seccomp filter,
  std::string watch;     // and a second one, or none.
  base::UniqueFd input;  // None: /dev/null.
  base::UniqueFd output;
  base::UniqueFd errors;
  std::vector<base::UniqueFd> cgroups;  // Where to write "0" to join the control groups.
  std::vector<base::UniqueFd> inherited;
};

// Ends the process when the node gives up, or says what makes no sense.
Orders AwaitOrders(int control);

// Control groups, identity, the tree, descriptors in their places, no privileges. `mapped` yields a
// byte when the identity maps are written. The number of the descriptor of /work, or -1.
int SetUp(int control, int mapped, const Orders& orders, SetupJournal& journal);

// Landlock, rlimits, seccomp; then says that the process is held. The number of the filter's
// listener, or -1.
int PutOnLastLayers(const Orders& orders, int work_folder, SetupJournal& journal);

// Waits until the process may go.
void AwaitGo();

// By write(2): the seccomp filters have no sendmsg.
void Send(const LaunchReport& report);
[[noreturn]] void GiveUp(const SetupJournal& journal);

}  // namespace ncn::sandbox
