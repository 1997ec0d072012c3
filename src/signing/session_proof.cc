#include "signing/session_proof.h"

#include <array>

#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/typed_message.h"

namespace ncn::signing {
namespace {

constexpr std::size_t kGatewayBytesMax = 1024;
constexpr std::array<MessageField, 3> kFields = {
    {{"nonce", "bytes"}, {"gateway", "string"}, {"protocolVersion", "uint32"}}};
constexpr MessageType kType = {"SessionProof", kFields};

absl::StatusOr<std::string> MessageText(std::string_view nonce, std::string_view gateway,
                                        std::uint32_t protocol_version) {
  if (nonce.size() < kNonceBytesMin || nonce.size() > kNonceBytesMax) {
    return absl::InvalidArgumentError(base::StrCat("the challenge's nonce has ", nonce.size(),
                                                   " bytes instead of ", kNonceBytesMin, " to ",
                                                   kNonceBytesMax));
  }
  if (gateway.empty() || gateway.size() > kGatewayBytesMax) {
    return absl::InvalidArgumentError(base::StrCat("the challenge's gateway address has ",
                                                   gateway.size(), " bytes instead of 1 to ",
                                                   kGatewayBytesMax));
  }
  nlohmann::ordered_json message = nlohmann::ordered_json::object();
  message["nonce"] = "0x" + base::HexEncode(nonce);
  message["gateway"] = std::string(gateway);
  message["protocolVersion"] = protocol_version;
  return TypedMessageText(kType, message);
}

}  // namespace

absl::StatusOr<std::string> SignChallenge(const Wallet& wallet, std::string_view nonce,
                                          std::string_view gateway,
                                          std::uint32_t protocol_version) {
  ASSIGN_OR_RETURN(const std::string text, MessageText(nonce, gateway, protocol_version));
  return SignTypedMessage(wallet, text);
}

absl::StatusOr<EthereumAddress> VerifyChallenge(std::string_view nonce, std::string_view gateway,
                                                std::uint32_t protocol_version,
                                                std::string_view signature) {
  ASSIGN_OR_RETURN(const std::string text, MessageText(nonce, gateway, protocol_version));
  return RecoverTypedMessageSigner(text, signature);
}

}  // namespace ncn::signing
