#pragma once

#include <atomic>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "sandbox/cgroup.h"
#include "sandbox/launch_protocol.h"
#include "sandbox/sandbox.h"
#include "sandbox/stream_tail.h"

namespace ncn::sandbox {

// The node's hands on one sandbox that the launcher made: what came out of its set-up.
struct SandboxHandles {
  LaunchRequest request;
  inference::ExecutionLimits limits;
  SandboxCommand command;          // Without the input files' bytes, which are placed already.
  std::unique_ptr<Cgroup> cgroup;  // May be null.
  base::UniqueFd channel;
  base::UniqueFd init_pidfd;
  base::UniqueFd work_folder;
  base::UniqueFd seccomp_listener;
  base::UniqueFd stdout_pipe;
  base::UniqueFd stderr_pipe;
  bool cloned_ahead = false;  // The mini-init, before it was needed.
  pid_t init_pid = -1;        // -1 when there is none, or none any more.
  pid_t payload_pid = -1;
  std::vector<std::string> layers;
  std::vector<std::string> missing;
  std::vector<StepTime> steps;
  // The policy's, where the process sees the host's own tree.
  std::vector<ReadOnlyBind> host_binds;
  std::string host_work_folder;  // To remove at the end; empty when /work is the sandbox's own.
};

// "sandbox layer "…" could not be set up: …", with the cure.
absl::Status LayerStatus(const LaunchReport& failure);

// A process in namespaces; see SandboxedProcess.
class HeldProcess final : public SandboxedProcess {
 public:
  explicit HeldProcess(SandboxHandles handles);
  ~HeldProcess() override;

  absl::Status Verify() override;
  absl::StatusOr<base::UniqueFd> OpenInside(const std::string& inside_path) const override;
  absl::Status Release() override;
  absl::StatusOr<SandboxOutcome> Wait(std::stop_token stop) override;
  void Kill() override;
  int pid() const override { return handles_.payload_pid; }
  void SetBackground(bool background) override;
  ResourceUsage UsageSoFar() const override;
  std::vector<std::string> layers() const override { return handles_.layers; }
  std::vector<std::string> missing() const override { return handles_.missing; }

 private:
  struct Ending;

  // Kills all and remembers why, unless something else was the reason before.
  void End(OutcomeKind why);
  absl::Status Step(Ending& ending, int timeout_ms);
  absl::Status TakeReport(Ending& ending);
  void TakeViolation();
  void CheckLimits();
  int NextTimeoutMs() const;
  absl::Status AwaitReaping(Ending& ending);
  SandboxOutcome MakeOutcome(const Ending& ending);
  void Classify(const Ending& ending, SandboxOutcome& outcome) const;

  SandboxHandles handles_;
  StreamTail stdout_;
  StreamTail stderr_;
  base::UniqueFd wake_;  // An eventfd that a stop request writes to.
  bool verified_ = false;
  bool released_ = false;
  bool reaped_ = false;
  bool orphaned_ = false;  // Nobody tells of its end.
  std::chrono::steady_clock::time_point released_at_;
  std::optional<OutcomeKind> reason_;  // Why it was killed, if by us.
  Violation violation_;
  std::atomic<bool> kill_requested_ = false;
  std::atomic<bool> background_ = false;
};

}  // namespace ncn::sandbox
