#include "execution/validating_execution.h"

namespace ncn::execution {

using inference::FailureKind;

inference::InferenceResponse ValidatingExecution::Execute(
    const inference::InferenceRequest& request, const ExecutionContext& context) {
  const absl::Status status = inference::Validate(request, limits_);
  if (status.ok()) return next_->Execute(request, context);
  const bool too_large = absl::IsResourceExhausted(status);
  return FailedResponse(
      request, {.kind = too_large ? FailureKind::kInputTooLarge : FailureKind::kInvalidInput,
                .message = std::string(status.message()),
                .cure = too_large ? "Send a smaller input, or raise --max-message-mb on the node."
                                  : "Correct the request and send it again."});
}

}  // namespace ncn::execution
