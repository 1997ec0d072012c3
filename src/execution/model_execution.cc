#include "execution/model_execution.h"

#include <algorithm>

#include "absl/strings/str_join.h"
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
  if (absl::IsAborted(status)) {
    return {FailureKind::kModelChanged, message,
            "Send the request again when the model's files have been copied."};
  }
  return {
      FailureKind::kModelInvalid, message,
      "Replace the model file or correct its manifest; the node picks the change up by itself."};
}

constexpr std::size_t kUnsupportedMax = 4096;

// Of a request to `model`: its own, or an earlier one that the manifest sets.
base::SteadyTime DeadlineOf(const models::Model& model, const ExecutionContext& context,
                            base::SteadyTime now) {
  const auto& timeout = model.manifest.timeout;
  return timeout ? std::min(context.deadline, now + *timeout) : context.deadline;
}

// Says beside why the last candidate failed why those before it did not answer. That the native
// executor left a request to the generic one explains nothing of what that one found wrong with it.
Failure WithReasons(Failure failure, const executors::Executor& first,
                    const std::vector<std::string>& notes) {
  if (notes.empty() || (first.native() && failure.kind != FailureKind::kModelUnsupported)) {
    return failure;
  }
  failure.detail += base::StrCat(failure.detail.empty() ? "" : "; ",
                                 "tried before: ", absl::StrJoin(notes, "; "));
  return failure;
}

}  // namespace

ModelExecution::Pairing ModelExecution::PairingOf(const models::Model& model,
                                                  const executors::Executor& executor) {
  return {model.id.value(), model.tree_sha256, executor.name, executor.sha256};
}

inference::InferenceResponse ModelExecution::Execute(const inference::InferenceRequest& request,
                                                     const ExecutionContext& context) {
  inference::InferenceResponse response = Attempt(request, context);
  // The model was replaced, or written into, under the request; nothing has left the node.
  if (response.ok() || response.failure().kind != FailureKind::kModelChanged ||
      context.stop.stop_requested()) {
    return response;
  }
  base::Log("execution").warn("{}; looked up and run again", response.failure().message);
  return Attempt(request, context);
}

inference::InferenceResponse ModelExecution::Attempt(const inference::InferenceRequest& request,
                                                     const ExecutionContext& context) {
  const base::SteadyTime start = clock_.SteadyNow();
  const auto model = store_.Find(request.model);
  if (!model.ok()) return FailedResponse(request, FailureOfStore(model.status()));
  const inference::StepTime find{
      "find_model",
      std::chrono::duration_cast<std::chrono::microseconds>(clock_.SteadyNow() - start)};

  const auto candidates = selector_.Candidates(**model, request.input.content_type, request.accept);
  if (!candidates.ok()) {
    return FailedResponse(
        request, {FailureKind::kModelUnsupported, std::string(candidates.status().message()),
                  "Check --python-executor-path and the model's manifest."});
  }
  const base::SteadyTime deadline = DeadlineOf(**model, context, start);
  std::vector<std::string> notes;
  for (std::size_t i = 0;; ++i) {
    const executors::Executor& executor = (*candidates)[i];
    const bool last = i + 1 == candidates->size();
    const Pairing pairing = PairingOf(**model, executor);
    // The generic executor is what the native one is a faster form of, for most of its models.
    const bool falls_back = fallback_ || executor.native();
    if (fallback_ && !last &&
        unsupported_.With([&](const auto& known) { return known.contains(pairing); })) {
      notes.push_back(base::StrCat(executor.name, ": cannot run this model, as seen before"));
      continue;
    }
    base::Log("execution").debug("executor {}", executor.name);
    executors::Outcome outcome = runner_.Run({.executor = executor,
                                              .model = **model,
                                              .request = request,
                                              .deadline = deadline,
                                              .stop = context.stop,
                                              .on_progress = context.on_progress});
    if (auto* result = std::get_if<InferenceResult>(&outcome)) {
      result->record.steps.insert(result->record.steps.begin(), find);
      result->record.notes.insert(result->record.notes.begin(), notes.begin(), notes.end());
      return {.request_id = request.id, .model = request.model, .outcome = std::move(*result)};
    }
    Failure& failure = std::get<Failure>(outcome);
    if (failure.kind != FailureKind::kModelUnsupported || last) {
      return FailedResponse(request, WithReasons(std::move(failure), candidates->front(), notes));
    }
    if (!falls_back) {
      failure.cure = base::StrCat("Start the node with --enable-execution-fallback, so that ",
                                  (*candidates)[i + 1].name, " is tried. Or: ", failure.cure);
      return FailedResponse(request, std::move(failure));
    }
    base::Log("execution")
        .log(executor.native() ? spdlog::level::debug : spdlog::level::warn,
             "executor {} cannot run the model: {}", executor.name, failure.message);
    notes.push_back(base::StrCat(executor.name, ": ", failure.message,
                                 failure.detail.empty() ? "" : ": ", failure.detail));
    // The native one may only not read this request; of its models the cache knows itself.
    if (executor.native()) continue;
    unsupported_.With([&](auto& known) {
      if (known.size() >= kUnsupportedMax) known.clear();
      known.insert(pairing);
    });
  }
}

}  // namespace ncn::execution
