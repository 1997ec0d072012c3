#pragma once

#include <optional>
#include <stop_token>

#include "base/clock.h"
#include "inference/inference_request.h"
#include "inference/inference_response.h"
#include "inference/progress.h"

namespace ncn::execution {

// What surrounds one execution.
struct ExecutionContext {
  std::stop_token stop;  // Requested when the caller cancels or the node is told to hurry.
  // When the node took the request on; waiting since then counts against its time-out. Absent: now.
  std::optional<base::SteadyTime> accepted_at;
  base::SteadyTime deadline = base::SteadyTime::max();  // Set by DeadlineExecution.
  inference::OnProgress on_progress = {};  // May be empty; called on the thread that executes.
};

// One request in, exactly one final response out: a result, or a failure that says what to do. Each
// concern (deadline, statistics, signing, …) is an implementation that wraps another; apps/
// composes them in the order in which a request meets them.
//
// Blocking; thread-safe; never throws; never answers without the request's own id and model.
class Execution {
 public:
  virtual ~Execution() = default;
  virtual inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                               const ExecutionContext& context) = 0;
};

// The response that ends `request` with `failure`.
inline inference::InferenceResponse FailedResponse(const inference::InferenceRequest& request,
                                                   inference::Failure failure) {
  return {.request_id = request.id, .model = request.model, .outcome = std::move(failure)};
}

}  // namespace ncn::execution
