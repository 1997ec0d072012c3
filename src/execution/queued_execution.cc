#include "execution/queued_execution.h"

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"

namespace ncn::execution {

using inference::FailureKind;

QueuedExecution::QueuedExecution(std::unique_ptr<Execution> next, std::size_t slots,
                                 std::size_t waiting_max, const base::Clock& clock)
    : next_(std::move(next)), slots_(slots), waiting_max_(waiting_max), clock_(clock) {
  NCN_CHECK(slots_ > 0);
}

inference::InferenceResponse QueuedExecution::Execute(const inference::InferenceRequest& request,
                                                      const ExecutionContext& context) {
  const base::SteadyTime arrived = clock_.SteadyNow();
  switch (WaitForSlot(context)) {
    case Admission::kFull:
      return FailedResponse(
          request, {.kind = FailureKind::kQueueFull,
                    .message = base::StrCat("all ", slots_, " slots are busy and ", waiting_max_,
                                            " requests wait already"),
                    .cure = "Try again later or on another node."});
    case Admission::kCancelled:
      return FailedResponse(request, {.kind = FailureKind::kCancelled,
                                      .message = "cancelled while it waited for a slot",
                                      .cure = ""});
    case Admission::kTimedOut:
      return FailedResponse(request,
                            {.kind = FailureKind::kTimeout,
                             .message = "the time-out passed while the request waited for a slot",
                             .cure = "Try again later, allow more time, or use another node."});
    case Admission::kRun:
      break;
  }
  const auto waited =
      std::chrono::duration_cast<std::chrono::microseconds>(clock_.SteadyNow() - arrived);
  inference::InferenceResponse response = next_->Execute(request, context);
  ReleaseSlot();
  if (auto* result = std::get_if<inference::InferenceResult>(&response.outcome)) {
    result->record.steps.insert(result->record.steps.begin(), {"queue", waited});
  }
  return response;
}

QueuedExecution::Admission QueuedExecution::WaitForSlot(const ExecutionContext& context) {
  std::unique_lock lock(mutex_);
  if (waiting_.empty() && running_ < slots_) {
    ++running_;
    return Admission::kRun;
  }
  if (waiting_.size() >= waiting_max_) return Admission::kFull;
  const std::uint64_t ticket = next_ticket_++;
  waiting_.push_back(ticket);
  const auto my_turn = [&] { return running_ < slots_ && waiting_.front() == ticket; };
  // Waiting until time_point::max() overflows in the wait's own arithmetic, hence the year's bound.
  const base::SteadyTime deadline =
      std::min(context.deadline, clock_.SteadyNow() + std::chrono::hours(24 * 365));
  const bool admitted = turn_.wait_until(lock, context.stop, deadline, my_turn);
  std::erase(waiting_, ticket);
  if (admitted) ++running_;
  lock.unlock();
  turn_.notify_all();  // The next in line may run now, too, or has become the first.
  if (admitted) return Admission::kRun;
  return context.stop.stop_requested() ? Admission::kCancelled : Admission::kTimedOut;
}

void QueuedExecution::ReleaseSlot() {
  {
    std::lock_guard lock(mutex_);
    --running_;
  }
  turn_.notify_all();
}

QueueOccupancy QueuedExecution::Occupancy() const {
  std::lock_guard lock(mutex_);
  return {.slots = slots_, .running = running_, .waiting = waiting_.size()};
}

}  // namespace ncn::execution
