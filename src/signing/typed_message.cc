#include "signing/typed_message.h"

#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/eip712.h"
#include "signing/recovery.h"

namespace ncn::signing {
namespace {

template <typename Json>
Json Domain() {
  Json domain = Json::object();
  domain["name"] = kDomainName;
  domain["version"] = kDomainVersion;
  return domain;
}

template <typename Json>
Json Types(const MessageType& type) {
  Json fields = Json::array();
  for (const MessageField& field : type.fields) {
    Json entry = Json::object();
    entry["name"] = field.name;
    entry["type"] = field.type;
    fields.push_back(std::move(entry));
  }
  Json types = Json::object();
  types[type.name] = std::move(fields);
  return types;
}

absl::StatusOr<base::Digest> Digest(std::string_view text) {
  return TypedDataDigest(nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false));
}

}  // namespace

absl::StatusOr<std::string> TypedMessageText(const MessageType& type,
                                             const nlohmann::ordered_json& message) {
  nlohmann::ordered_json typed_data = nlohmann::ordered_json::object();
  typed_data["domain"] = Domain<nlohmann::ordered_json>();
  typed_data["types"] = Types<nlohmann::ordered_json>(type);
  typed_data["primaryType"] = type.name;
  typed_data["message"] = message;
  try {
    return typed_data.dump();
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError(
        base::StrCat("a text in the ", type.name, " to sign is not UTF-8"));
  }
}

// The digest is of the text read back, so it is what a reader of the text computes.
absl::StatusOr<std::string> SignTypedMessage(const Wallet& wallet, std::string_view text) {
  ASSIGN_OR_RETURN(const base::Digest digest, Digest(text));
  return wallet.Sign(digest);
}

absl::StatusOr<EthereumAddress> RecoverTypedMessageSigner(std::string_view text,
                                                          std::string_view signature) {
  ASSIGN_OR_RETURN(const base::Digest digest, Digest(text));
  return RecoverSigner(digest, signature);
}

absl::Status CheckIsOurs(const MessageType& type, const nlohmann::json& typed_data) {
  if (!typed_data.is_object()) return absl::InvalidArgumentError("it is not a JSON object");
  if (typed_data.value("domain", nlohmann::json()) != Domain<nlohmann::json>()) {
    return absl::InvalidArgumentError(
        base::StrCat("its domain is not ", kDomainName, " version ", kDomainVersion));
  }
  if (typed_data.value("primaryType", nlohmann::json()) != type.name ||
      typed_data.value("types", nlohmann::json()) != Types<nlohmann::json>(type)) {
    return absl::InvalidArgumentError(
        base::StrCat("its types are not those of ", type.name, " in version ", kDomainVersion));
  }
  return absl::OkStatus();
}

}  // namespace ncn::signing
