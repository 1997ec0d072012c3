#include "execution/statistics_execution.h"

namespace ncn::execution {

inference::InferenceResponse StatisticsExecution::Execute(
    const inference::InferenceRequest& request, const ExecutionContext& context) {
  const base::SteadyTime start = clock_.SteadyNow();
  inference::InferenceResponse response = next_->Execute(request, context);
  const auto duration =
      std::chrono::duration_cast<std::chrono::microseconds>(clock_.SteadyNow() - start);
  statistics_.Record(request.model.value(),
                     response.ok() ? std::nullopt : std::optional(response.failure().kind),
                     duration);
  return response;
}

}  // namespace ncn::execution
