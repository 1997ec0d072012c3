#include "execution/deadline_execution.h"

#include <algorithm>

namespace ncn::execution {

using std::chrono::microseconds;
using std::chrono::milliseconds;

inference::InferenceResponse DeadlineExecution::Execute(const inference::InferenceRequest& request,
                                                        const ExecutionContext& context) {
  const bool has_own = request.timeout > milliseconds::zero();
  const auto timeout = has_own ? std::min(request.timeout, timeout_max_) : timeout_max_;
  const base::SteadyTime now = clock_.SteadyNow();
  const base::SteadyTime accepted_at = context.accepted_at.value_or(now);
  ExecutionContext bounded = context;
  bounded.deadline = std::min(context.deadline, accepted_at + timeout);
  if (bounded.deadline <= now) {
    return FailedResponse(request,
                          {.kind = inference::FailureKind::kTimeout,
                           .message = "the time-out passed while the request waited for its turn",
                           .cure = "Allow more time, try again later, or use another node."});
  }
  inference::InferenceResponse response = next_->Execute(request, bounded);
  if (auto* result = std::get_if<inference::InferenceResult>(&response.outcome)) {
    const auto waited = std::chrono::duration_cast<microseconds>(now - accepted_at);
    result->record.steps.insert(result->record.steps.begin(), {"queue", waited});
  }
  return response;
}

}  // namespace ncn::execution
