#include "execution/payment_execution.h"

#include "signing/payment.h"

namespace ncn::execution {

inference::InferenceResponse PaymentExecution::Execute(const inference::InferenceRequest& request,
                                                       const ExecutionContext& context) {
  const absl::Status status = signing::VerifyPayment(request).status();
  if (status.ok()) return next_->Execute(request, context);
  return FailedResponse(request,
                        {.kind = inference::FailureKind::kPaymentRequired,
                         .message = std::string(status.message()),
                         .cure = "Send the request with a payment authorization that the payer's "
                                 "wallet signed for it (`ncn infer --pay-with FILE`)."});
}

}  // namespace ncn::execution
