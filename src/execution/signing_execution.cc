#include "execution/signing_execution.h"

#include "base/strings.h"

namespace ncn::execution {

inference::InferenceResponse SigningExecution::Execute(const inference::InferenceRequest& request,
                                                       const ExecutionContext& context) {
  inference::InferenceResponse response = next_->Execute(request, context);
  if (!response.ok()) return response;
  const base::SteadyTime start = clock_.SteadyNow();
  if (absl::Status status = signer_.Sign(request, response); !status.ok()) {
    return FailedResponse(request, {.kind = inference::FailureKind::kInternal,
                                    .message = base::StrCat("the result could not be signed: ",
                                                            base::ToStd(status.message())),
                                    .cure = "Check the node's wallet with `ncn wallet address`."});
  }
  std::get<inference::InferenceResult>(response.outcome)
      .record.steps.push_back({"sign", std::chrono::duration_cast<std::chrono::microseconds>(
                                           clock_.SteadyNow() - start)});
  return response;
}

}  // namespace ncn::execution
