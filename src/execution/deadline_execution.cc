#include "execution/deadline_execution.h"

#include <algorithm>

namespace ncn::execution {

inference::InferenceResponse DeadlineExecution::Execute(const inference::InferenceRequest& request,
                                                        const ExecutionContext& context) {
  const bool has_own = request.timeout > std::chrono::milliseconds::zero();
  const auto timeout = has_own ? std::min(request.timeout, timeout_max_) : timeout_max_;
  ExecutionContext bounded = context;
  bounded.deadline = std::min(context.deadline, clock_.SteadyNow() + timeout);
  return next_->Execute(request, bounded);
}

}  // namespace ncn::execution
