#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/inference_request.h"
#include "signing/address.h"
#include "signing/wallet.h"

namespace ncn::signing {

// The payer's promise to pay for one request: the EIP-712 message "PaymentAuthorization"
// (requestId, model, payer, amountWei) in the domain of typed_message.h.
// `amount_wei` is decimal, below 2^256. InvalidArgument when it is not.
absl::StatusOr<inference::PaymentProof> SignPayment(const Wallet& payer,
                                                    const inference::RequestId& request_id,
                                                    const inference::ModelId& model,
                                                    std::string_view amount_wei);

// Whether `request` carries a promise for itself, by its payer, of at least `minimum_wei`
// (decimal). Returns the payer. FailedPrecondition when there is none or too little;
// InvalidArgument when it is malformed; PermissionDenied when it was signed by somebody else or for
// something else.
absl::StatusOr<EthereumAddress> VerifyPayment(const inference::InferenceRequest& request,
                                              std::string_view minimum_wei = "1");

}  // namespace ncn::signing
