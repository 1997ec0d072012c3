#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/synchronized.h"
#include "sandbox/cgroup.h"
#include "sandbox/held_process.h"
#include "sandbox/launch_plan.h"
#include "sandbox/launcher_client.h"
#include "sandbox/sandbox.h"

namespace ncn::sandbox {

// Strict and permissive mode: sandboxes made by the launcher process. Thread-safe.
class NamespaceSandbox final : public Sandbox {
 public:
  // See CreateSandbox. `mode` is not kDisabled.
  static absl::StatusOr<std::unique_ptr<NamespaceSandbox>> Create(SandboxMode mode,
                                                                  const std::string& launcher_path);

  SandboxMode mode() const override { return mode_; }
  absl::StatusOr<std::unique_ptr<SandboxedProcess>> Start(const SandboxPolicy& policy,
                                                          SandboxCommand command) override;

  absl::StatusOr<std::unique_ptr<Zygote>> StartZygote(const SandboxPolicy& policy,
                                                      SandboxCommand command) override;
  // The sandbox of a zygote's children, which `launcher`, the zygote, forks; `view` is what it
  // sees. Shares the control groups.
  std::unique_ptr<NamespaceSandbox> OnZygote(std::unique_ptr<LauncherClient> launcher,
                                             std::vector<PathMapping> view) const;

  // Makes the given step of every later Start fail. For tests of failing closed.
  void FailStepForTest(std::optional<SetupStep> step);

 private:
  // What a machine turned out not to offer, in permissive mode.
  struct Concessions {
    bool landlock = true;
    bool own_tree = true;  // User, mount and pid namespaces, and all that hangs on them.
    std::uint32_t namespaces = kAllNamespaces;
    std::vector<std::string> missing;
  };
  struct Attempt {
    absl::Status status;
    std::optional<LaunchReport> failure;  // The step, when one failed.
    bool died_waiting = false;            // The mini-init, before it had anything to do.
    std::unique_ptr<HeldProcess> process;
  };

  NamespaceSandbox(SandboxMode mode, std::shared_ptr<CgroupTree> cgroups, std::string no_cgroups,
                   std::unique_ptr<LauncherClient> launcher);

  Attempt Try(const SandboxPolicy& policy, const SandboxCommand& command,
              const Concessions& concessions);
  absl::Status Prepare(const SandboxPolicy& policy, const SandboxCommand& command,
                       const Concessions& concessions, SandboxHandles& handles);
  // The channel of a new mini-init that awaits its LaunchRequest; it ends when the channel closes.
  absl::StatusOr<base::UniqueFd> CloneInit(std::uint32_t namespaces);
  // Sends the request to the mini-init that was cloned ahead, or to a new one.
  absl::Status SendOrders(const std::vector<int>& fds, SandboxHandles& handles);
  // Has the next mini-init ready when it is needed: namespaces take the kernel a good half of a
  // millisecond. Nothing but a LaunchRequest ever reaches it, and it serves one only.
  void CloneAhead();
  absl::Status AwaitHeld(SandboxHandles& handles, std::optional<LaunchReport>& failure);
  absl::StatusOr<int> FilterFile(const SeccompProgram& program);
  // Gives up what `failure` shows to be missing; false when it is mandatory.
  static bool Concede(const LaunchReport& failure, Concessions& concessions);

  // Constant after construction.
  const SandboxMode mode_;
  const std::shared_ptr<CgroupTree> cgroups_;  // May be null.
  const std::string no_cgroups_;               // Why so.
  const std::unique_ptr<LauncherClient> launcher_;
  std::vector<PathMapping> view_;  // Of the zygote that is the launcher; empty when none is.

  base::Synchronized<std::map<std::string, base::UniqueFd>> filters_;  // Sealed, by policy hash.
  base::Synchronized<base::UniqueFd> ahead_;  // The channel of the mini-init cloned ahead, or none.
  std::atomic<std::uint8_t> fail_step_ = 0;
};

}  // namespace ncn::sandbox
