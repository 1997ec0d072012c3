#include "rewind/rewinder.h"

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::rewind {
namespace {

constexpr int kPatience = 200;  // Milliseconds.

}  // namespace

absl::StatusOr<std::unique_ptr<Rewinder>> Rewinder::Attach(pid_t held) {
  ASSIGN_OR_RETURN(auto supervisor, Supervisor::Attach(held));
  return std::unique_ptr<Rewinder>(new Rewinder(std::move(supervisor)));
}

absl::Status Rewinder::TakeSnapshot(int conversation) {
  conversation_ = conversation;
  const auto take = [this](StoppedProcess& process) -> absl::Status {
    ASSIGN_OR_RETURN(snapshot_, Snapshot::Take(process, conversation_));
    supervisor_->TakeTouched();
    supervisor_->Watch();
    return absl::OkStatus();
  };
  absl::Status taken = supervisor_->WhileStopped(take);
  // It has just said that it is ready, and is about to listen.
  for (int i = 0; i < kPatience && absl::IsAborted(taken); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    taken = supervisor_->WhileStopped(take);
  }
  return taken;
}

absl::StatusOr<RewindReport> Rewinder::Learn() { return RewindStopped(true); }
absl::StatusOr<RewindReport> Rewinder::Rewind() { return RewindStopped(false); }

absl::StatusOr<RewindReport> Rewinder::RewindStopped(bool learn) {
  if (snapshot_ == nullptr) return absl::FailedPreconditionError("no snapshot has been taken");
  RewindReport report;
  const auto asked = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(supervisor_->WhileStopped([&](StoppedProcess& process) -> absl::Status {
    report.stop = std::chrono::steady_clock::now() - asked;
    if (const std::string suspicion = supervisor_->Suspicion(); !suspicion.empty()) {
      return absl::FailedPreconditionError(
          base::StrCat("the process did what cannot be undone: ", suspicion));
    }
    return snapshot_->Rewind(process, conversation_, supervisor_->TakeTouched(), learn, &report);
  }));
  return report;
}

}  // namespace ncn::rewind
