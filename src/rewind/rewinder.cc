#include "rewind/rewinder.h"

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::rewind {
namespace {

constexpr std::chrono::milliseconds kPatience(200);
constexpr std::chrono::microseconds kPause(200);

}  // namespace

absl::StatusOr<std::unique_ptr<Rewinder>> Rewinder::Attach(pid_t held) {
  ASSIGN_OR_RETURN(auto supervisor, Supervisor::Attach(held));
  return std::unique_ptr<Rewinder>(new Rewinder(std::move(supervisor)));
}

absl::Status Rewinder::WhileWaiting(const std::function<absl::Status(StoppedProcess&)>& work) {
  const auto patience = std::chrono::steady_clock::now() + kPatience;
  absl::Status done = supervisor_->WhileStopped(work);
  // It is about to listen.
  while (absl::IsAborted(done) && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(kPause);
    done = supervisor_->WhileStopped(work);
  }
  return done;
}

absl::Status Rewinder::TakeSnapshot(int conversation) {
  return WhileWaiting([&](StoppedProcess& process) -> absl::Status {
    ASSIGN_OR_RETURN(restorer_, Restorer::OfReady(process, conversation));
    supervisor_->Watch();
    return absl::OkStatus();
  });
}

absl::StatusOr<RewindReport> Rewinder::Learn() {
  ASSIGN_OR_RETURN(const RewindReport report, RewindStopped(true));
  learned_ = true;
  return report;
}

absl::StatusOr<RewindReport> Rewinder::Rewind() { return RewindStopped(false); }

absl::StatusOr<RewindReport> Rewinder::RewindStopped(bool learn) {
  if (restorer_ == nullptr) return absl::FailedPreconditionError("no snapshot has been taken");
  RewindReport report;
  const auto asked = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(supervisor_->WhileStopped([&](StoppedProcess& process) -> absl::Status {
    report.stop = std::chrono::steady_clock::now() - asked;
    if (const std::string suspicion = supervisor_->Suspicion(); !suspicion.empty()) {
      return absl::FailedPreconditionError(
          base::StrCat("the process did what cannot be undone: ", suspicion));
    }
    return restorer_->Rewind(process, supervisor_->TakeTouched(), learn, &report);
  }));
  return report;
}

absl::StatusOr<std::shared_ptr<Snapshot>> Rewinder::Share() const {
  if (!learned_) return absl::FailedPreconditionError("no snapshot has been taken and learned");
  if (const std::string before = supervisor_->SuspicionBefore(); !before.empty()) {
    return absl::FailedPreconditionError(
        base::StrCat("its load did more than fill memory: ", before));
  }
  return restorer_->snapshot();
}

absl::StatusOr<RewindReport> Rewinder::Become(std::shared_ptr<Snapshot> snapshot,
                                              int conversation) {
  RewindReport report;
  RETURN_IF_ERROR(WhileWaiting([&](StoppedProcess& process) -> absl::Status {
    ASSIGN_OR_RETURN(restorer_, Restorer::OfFresh(process, conversation, snapshot, &report));
    supervisor_->Watch();
    return absl::OkStatus();
  }));
  learned_ = true;
  return report;
}

absl::Status Rewinder::Detach() { return supervisor_->Detach(); }

}  // namespace ncn::rewind
