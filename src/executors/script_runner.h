#pragma once

#include <stop_token>
#include <string>
#include <variant>

#include "base/clock.h"
#include "executors/executor_selector.h"
#include "inference/inference_request.h"
#include "inference/inference_response.h"
#include "inference/progress.h"
#include "models/model_store.h"

namespace ncn::executors {

// How one run ended: with a result, not signed yet, or with a failure.
using Outcome = std::variant<inference::InferenceResult, inference::Failure>;

// One run of one executor on one request. References live until Run returns.
struct ScriptTask {
  const Executor& executor;
  const models::Model& model;
  const inference::InferenceRequest& request;
  base::SteadyTime deadline;
  std::stop_token stop;
  inference::OnProgress on_progress = {};  // Of ready sandboxes; a cold one is silent to its end.
};

// Runs executors, at some level of isolation. Blocking; thread-safe.
class ScriptRunner {
 public:
  virtual ~ScriptRunner() = default;
  virtual Outcome Run(const ScriptTask& task) = 0;
};

}  // namespace ncn::executors
