#include "reference/validation.h"

#include <string>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "inference/inference_request.h"
#include "signing/address.h"
#include "signing/payment.h"
#include "signing/result_signature.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kHashBytes = 32;

absl::Status CheckInputHash(const std::string& hash) {
  if (hash.size() == kHashBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat("input_hash has ", hash.size(), " bytes; ", kHashBytes, " are needed"));
}

// What the verdict rests on.
absl::StatusOr<std::string> CheckRequest(const v2::RequestPreprocessingValidationRequest& request) {
  ASSIGN_OR_RETURN(auto id, inference::RequestId::Parse(request.request_id()));
  ASSIGN_OR_RETURN(auto model, inference::ModelId::Parse(request.model()));
  RETURN_IF_ERROR(CheckInputHash(request.input_hash()));
  if (!request.client_address().empty()) {
    RETURN_IF_ERROR(signing::EthereumAddress::Parse(request.client_address()).status());
  }
  if (!request.has_payment()) return "its form is right; it promises no payment";
  inference::InferenceRequest paid{.id = std::move(id), .model = std::move(model)};
  ASSIGN_OR_RETURN(paid.payment, wire::Decode(v2::PaymentProof(request.payment())));
  ASSIGN_OR_RETURN(const auto payer, signing::VerifyPayment(paid));
  return base::StrCat("its form is right, and ", payer.ToString(),
                      " signed its payment; whether the payer has the amount was not looked at");
}

absl::StatusOr<std::string> CheckCompletion(v2::RequestCompletionValidationRequest&& request) {
  RETURN_IF_ERROR(CheckInputHash(request.input_hash()));
  ASSIGN_OR_RETURN(const auto response, wire::Decode(std::move(*request.mutable_response())));
  ASSIGN_OR_RETURN(const auto signer,
                   signing::VerifyResponseWithoutOutput(response, request.input_hash()));
  if (!response.result().output.bytes.empty()) {
    RETURN_IF_ERROR(signing::VerifyResponse(response).status());
  }
  return base::StrCat(signer.ToString(),
                      " attests this result; that it computed rightly was not tried");
}

v2::ValidationVerdict Verdict(const absl::StatusOr<std::string>& outcome) {
  v2::ValidationVerdict verdict;
  verdict.set_valid(outcome.ok());
  verdict.set_message(outcome.ok() ? *outcome : std::string(outcome.status().message()));
  return verdict;
}

}  // namespace

v2::ValidationVerdict ValidateRequest(const v2::RequestPreprocessingValidationRequest& request) {
  return Verdict(CheckRequest(request));
}

v2::ValidationVerdict ValidateCompletion(v2::RequestCompletionValidationRequest&& request) {
  return Verdict(CheckCompletion(std::move(request)));
}

}  // namespace ncn::reference
