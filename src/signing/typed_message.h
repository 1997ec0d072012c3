#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "signing/address.h"
#include "signing/wallet.h"

namespace ncn::signing {

// The EIP-712 domain of everything that this project signs besides the plain result signature.
inline constexpr char kDomainName[] = "Compute Node Network";
inline constexpr char kDomainVersion[] = "2";

// A primary type and its fields, none of them a struct. Both live for ever.
struct MessageField {
  const char* name;
  const char* type;
};
struct MessageType {
  const char* name;
  std::span<const MessageField> fields;
};

// {"domain", "types", "primaryType", "message"}, as text and in this order. InvalidArgument when a
// text of the message is not UTF-8.
absl::StatusOr<std::string> TypedMessageText(const MessageType& type,
                                             const nlohmann::ordered_json& message);

// The wallet's signature, 65 bytes, of such a text; and who made one.
absl::StatusOr<std::string> SignTypedMessage(const Wallet& wallet, std::string_view text);
absl::StatusOr<EthereumAddress> RecoverTypedMessageSigner(std::string_view text,
                                                          std::string_view signature);

// Whether `typed_data` has exactly our domain and type; InvalidArgument says which it lacks.
absl::Status CheckIsOurs(const MessageType& type, const nlohmann::json& typed_data);

}  // namespace ncn::signing
