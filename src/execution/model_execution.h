#pragma once

#include <array>
#include <set>
#include <string>

#include "base/synchronized.h"
#include "execution/execution.h"
#include "executors/executor_selector.h"
#include "executors/script_runner.h"
#include "models/model_store.h"

namespace ncn::execution {

// The innermost execution: finds the model, chooses its executor and runs it. With `fallback`, an
// executor that cannot run the model at all is followed by the next candidate, in the same sandbox
// mode and within the same deadline; never after a wrong answer, a limit or a violation. It is not
// asked again until the model or the executor changes. When all fail, the last one's failure says
// why the others did. A manifest's time-out holds for all that a look-up leads to. A model that
// changes under a request is looked up and run once more. Thread-safe.
class ModelExecution final : public Execution {
 public:
  // All outlive the execution.
  ModelExecution(const models::ModelStore& store, const executors::ExecutorSelector& selector,
                 executors::ScriptRunner& runner, bool fallback, const base::Clock& clock)
      : store_(store), selector_(selector), runner_(runner), fallback_(fallback), clock_(clock) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  // One look-up of the model, and its run.
  inference::InferenceResponse Attempt(const inference::InferenceRequest& request,
                                       const ExecutionContext& context);
  // Of a model and an executor, both as they are now.
  using Pairing = std::array<std::string, 4>;
  static Pairing PairingOf(const models::Model& model, const executors::Executor& executor);

  const models::ModelStore& store_;
  const executors::ExecutorSelector& selector_;
  executors::ScriptRunner& runner_;
  const bool fallback_;
  const base::Clock& clock_;
  base::Synchronized<std::set<Pairing>> unsupported_;  // Never after a success; bounded.
};

}  // namespace ncn::execution
