#include "execution/model_execution.h"

#include "base/logging.h"
#include "base/strings.h"

namespace ncn::execution {

using inference::Failure;
using inference::FailureKind;
using inference::InferenceResult;

namespace {

Failure FailureOfStore(const absl::Status& status) {
  const std::string message(status.message());
  if (absl::IsNotFound(status)) {
    return {FailureKind::kModelNotFound, message,
            "Put the model file into the folder that --model-path names, or start the node with "
            "--sync-models."};
  }
  return {
      FailureKind::kModelInvalid, message,
      "Replace the model file or correct its manifest; the node picks the change up by itself."};
}

}  // namespace

inference::InferenceResponse ModelExecution::Execute(const inference::InferenceRequest& request,
                                                     const ExecutionContext& context) {
  const base::SteadyTime start = clock_.SteadyNow();
  const auto model = store_.Find(request.model);
  if (!model.ok()) return FailedResponse(request, FailureOfStore(model.status()));
  const inference::StepTime find{
      "find_model",
      std::chrono::duration_cast<std::chrono::microseconds>(clock_.SteadyNow() - start)};

  const auto candidates = selector_.Candidates(**model);
  if (!candidates.ok()) {
    return FailedResponse(
        request, {FailureKind::kModelUnsupported, std::string(candidates.status().message()),
                  "Check --python-executor-path and the model's manifest."});
  }
  std::vector<std::string> notes;
  for (std::size_t i = 0;; ++i) {
    const executors::ExecutorScript& script = (*candidates)[i];
    base::Log("execution").debug("executor {}", script.name);
    executors::Outcome outcome = runner_.Run({.script = script,
                                              .model = **model,
                                              .request = request,
                                              .deadline = context.deadline,
                                              .stop = context.stop,
                                              .on_progress = context.on_progress});
    if (auto* result = std::get_if<InferenceResult>(&outcome)) {
      result->record.steps.insert(result->record.steps.begin(), find);
      result->record.notes.insert(result->record.notes.begin(), notes.begin(), notes.end());
      return {.request_id = request.id, .model = request.model, .outcome = std::move(*result)};
    }
    Failure& failure = std::get<Failure>(outcome);
    const bool next =
        fallback_ && failure.kind == FailureKind::kModelUnsupported && i + 1 < candidates->size();
    if (!next) return FailedResponse(request, std::move(failure));
    base::Log("execution")
        .warn("executor {} cannot run the model: {}", script.name, failure.message);
    notes.push_back(base::StrCat(script.name, ": ", failure.message));
  }
}

}  // namespace ncn::execution
