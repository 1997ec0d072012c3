#pragma once

#include "execution/execution.h"
#include "executors/executor_selector.h"
#include "executors/script_runner.h"
#include "models/model_store.h"

namespace ncn::execution {

// The innermost execution: finds the model, chooses its executor and runs it. With `fallback`, an
// executor that cannot run the model at all is followed by the next candidate, in the same sandbox
// mode and within the same deadline; never after a wrong answer, a limit or a violation.
// Thread-safe.
class ModelExecution final : public Execution {
 public:
  // All outlive the execution.
  ModelExecution(const models::ModelStore& store, const executors::ExecutorSelector& selector,
                 executors::ScriptRunner& runner, bool fallback, const base::Clock& clock)
      : store_(store), selector_(selector), runner_(runner), fallback_(fallback), clock_(clock) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  const models::ModelStore& store_;
  const executors::ExecutorSelector& selector_;
  executors::ScriptRunner& runner_;
  const bool fallback_;
  const base::Clock& clock_;
};

}  // namespace ncn::execution
