#include <algorithm>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "ncn/v2/common_types.pb.h"
#include "wire/codec.h"
#include "wire/text.h"

namespace ncn::wire {
namespace {

constexpr std::size_t kAddressBytes = 42;
constexpr std::size_t kAmountDigitsMax = 78;  // 2^256 in decimal digits.
constexpr std::size_t kSignatureBytes = 65;
constexpr std::uint64_t kTimeoutMsMax = 7ULL * 24 * 3600 * 1000;

}  // namespace

void Encode(const inference::PaymentProof& proof, v2::PaymentProof* out) {
  out->set_payer_address(CleanText(proof.payer_address, kAddressBytes));
  out->set_amount_wei(CleanText(proof.amount_wei, kAmountDigitsMax));
  out->set_signature(proof.signature);
}

absl::StatusOr<inference::PaymentProof> Decode(v2::PaymentProof&& message) {
  RETURN_IF_ERROR(CheckText("payment.payer_address", message.payer_address(), kAddressBytes));
  RETURN_IF_ERROR(CheckText("payment.amount_wei", message.amount_wei(), kAmountDigitsMax));
  if (message.signature().size() != kSignatureBytes) {
    return absl::InvalidArgumentError(base::StrCat("payment.signature has ",
                                                   message.signature().size(), " bytes; ",
                                                   kSignatureBytes, " are needed"));
  }
  return inference::PaymentProof{.payer_address = std::move(*message.mutable_payer_address()),
                                 .amount_wei = std::move(*message.mutable_amount_wei()),
                                 .signature = std::move(*message.mutable_signature())};
}

void Encode(const inference::InferenceRequest& request, v2::InferenceRequest* out) {
  out->set_request_id(request.id.value());
  out->set_model(request.model.value());
  out->set_input_data(request.input.bytes);
  out->set_content_type(CleanText(request.input.content_type, kNameBytesMax));
  out->set_accept(CleanText(request.accept, kNameBytesMax));
  out->set_timeout_ms(
      static_cast<std::uint64_t>(std::max<std::int64_t>(request.timeout.count(), 0)));
  if (request.seed) out->set_seed(*request.seed);
  out->set_client_address(CleanText(request.client_address, kAddressBytes));
  if (request.payment) Encode(*request.payment, out->mutable_payment());
}

absl::StatusOr<inference::InferenceRequest> Decode(v2::InferenceRequest&& message,
                                                   const inference::RequestLimits& limits) {
  ASSIGN_OR_RETURN(auto id, inference::RequestId::Parse(message.request_id()));
  ASSIGN_OR_RETURN(auto model, inference::ModelId::Parse(message.model()));
  RETURN_IF_ERROR(CheckText("client_address", message.client_address(), kAddressBytes));
  if (message.timeout_ms() > kTimeoutMsMax) {
    return absl::InvalidArgumentError(base::StrCat("timeout_ms is ", message.timeout_ms(),
                                                   "; at most ", kTimeoutMsMax, " is allowed"));
  }
  inference::InferenceRequest request{
      .id = std::move(id),
      .model = std::move(model),
      .input = {std::move(*message.mutable_input_data()),
                std::move(*message.mutable_content_type())},
      .accept = std::move(*message.mutable_accept()),
      .timeout = std::chrono::milliseconds(message.timeout_ms()),
      .client_address = std::move(*message.mutable_client_address()),
  };
  if (request.input.content_type.empty()) {
    request.input.content_type = inference::kOpenInferenceJson;
  }
  if (message.has_seed()) request.seed = message.seed();
  if (message.has_payment()) {
    ASSIGN_OR_RETURN(request.payment, Decode(std::move(*message.mutable_payment())));
  }
  RETURN_IF_ERROR(inference::Validate(request, limits));
  return request;
}

}  // namespace ncn::wire
