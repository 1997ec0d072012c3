#include "signing/payment.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/ascii.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/typed_message.h"

namespace ncn::signing {
namespace {

constexpr std::array<MessageField, 4> kFields = {
    {{"requestId", "string"}, {"model", "string"}, {"payer", "address"}, {"amountWei", "uint256"}}};
constexpr MessageType kType = {"PaymentAuthorization", kFields};

bool IsDecimal(std::string_view text) {
  return !text.empty() && text.size() <= 78 && (text == "0" || text.front() != '0') &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
}

// Of decimals without leading zeros, the longer one is the larger.
bool IsLess(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

absl::Status CheckAmount(std::string_view amount_wei) {
  if (IsDecimal(amount_wei)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a payment's amount is wei in decimal digits, without leading zeros, sign or unit");
}

absl::StatusOr<std::string> MessageText(const inference::RequestId& request_id,
                                        const inference::ModelId& model,
                                        const EthereumAddress& payer, std::string_view amount_wei) {
  nlohmann::ordered_json message = nlohmann::ordered_json::object();
  message["requestId"] = request_id.value();
  message["model"] = model.value();
  message["payer"] = payer.ToString();
  message["amountWei"] = std::string(amount_wei);
  return TypedMessageText(kType, message);
}

}  // namespace

absl::StatusOr<inference::PaymentProof> SignPayment(const Wallet& payer,
                                                    const inference::RequestId& request_id,
                                                    const inference::ModelId& model,
                                                    std::string_view amount_wei) {
  RETURN_IF_ERROR(CheckAmount(amount_wei));
  ASSIGN_OR_RETURN(const std::string text,
                   MessageText(request_id, model, payer.address(), amount_wei));
  inference::PaymentProof proof = {.payer_address = payer.address().ToString(),
                                   .amount_wei = std::string(amount_wei)};
  ASSIGN_OR_RETURN(proof.signature, SignTypedMessage(payer, text));
  return proof;
}

absl::StatusOr<EthereumAddress> VerifyPayment(const inference::InferenceRequest& request,
                                              std::string_view minimum_wei) {
  RETURN_IF_ERROR(CheckAmount(minimum_wei));
  if (!request.payment.has_value()) {
    return absl::FailedPreconditionError(
        base::StrCat("this node works for payment only, and the request authorises none; send a "
                     "PaymentAuthorization of at least ",
                     minimum_wei, " wei signed by your wallet"));
  }
  const inference::PaymentProof& proof = *request.payment;
  RETURN_IF_ERROR(CheckAmount(proof.amount_wei));
  ASSIGN_OR_RETURN(const EthereumAddress payer, EthereumAddress::Parse(proof.payer_address));
  ASSIGN_OR_RETURN(const std::string text,
                   MessageText(request.id, request.model, payer, proof.amount_wei));
  ASSIGN_OR_RETURN(const EthereumAddress signer, RecoverTypedMessageSigner(text, proof.signature));
  if (signer != payer) {
    return absl::PermissionDeniedError(base::StrCat(
        "the payment authorisation was not signed by ", payer.ToString(), " for request ",
        request.id.value(), ", model ", request.model.value(), " and ", proof.amount_wei,
        " wei; sign exactly these with the payer's wallet"));
  }
  if (IsLess(proof.amount_wei, minimum_wei)) {
    return absl::FailedPreconditionError(base::StrCat("the request authorises ", proof.amount_wei,
                                                      " wei; this node asks for at least ",
                                                      minimum_wei));
  }
  return payer;
}

}  // namespace ncn::signing
