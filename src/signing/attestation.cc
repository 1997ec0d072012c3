#include "signing/attestation.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/eip712.h"
#include "signing/recovery.h"
#include "signing/typed_message.h"

namespace ncn::signing {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array<MessageField, 20> kFields = {
    {{"requestId", "string"},         {"model", "string"},
     {"modelHash", "bytes32"},        {"executor", "string"},
     {"executorHash", "bytes32"},     {"imageDigest", "string"},
     {"inputHash", "bytes32"},        {"outputHash", "bytes32"},
     {"outputContentType", "string"}, {"sandboxMode", "string"},
     {"isolation", "string"},         {"policyHash", "bytes32"},
     {"layers", "string[]"},          {"cpuMicros", "uint64"},
     {"wallMicros", "uint64"},        {"peakMemoryBytes", "uint64"},
     {"startedAtMillis", "uint64"},   {"finishedAtMillis", "uint64"},
     {"timestamp", "uint64"},         {"node", "address"}}};
constexpr MessageType kType = {"Attestation", kFields};

// Calls visit(key, member) for every field of the message, in its order. One list for both ways
// keeps what is signed and what is read the same.
template <typename A, typename Visitor>
void VisitFields(A& attestation, Visitor& visit) {
  visit.Text("requestId", attestation.request_id);
  visit.Text("model", attestation.model);
  visit.Hash("modelHash", attestation.model_hash);
  visit.Text("executor", attestation.executor);
  visit.Hash("executorHash", attestation.executor_hash);
  visit.Text("imageDigest", attestation.image_digest);
  visit.Hash("inputHash", attestation.input_hash);
  visit.Hash("outputHash", attestation.output_hash);
  visit.Text("outputContentType", attestation.output_content_type);
  visit.Text("sandboxMode", attestation.sandbox_mode);
  visit.Text("isolation", attestation.isolation);
  visit.Hash("policyHash", attestation.policy_hash);
  visit.Texts("layers", attestation.layers);
  visit.Number("cpuMicros", attestation.cpu_micros);
  visit.Number("wallMicros", attestation.wall_micros);
  visit.Number("peakMemoryBytes", attestation.peak_memory_bytes);
  visit.Number("startedAtMillis", attestation.started_at_millis);
  visit.Number("finishedAtMillis", attestation.finished_at_millis);
  visit.Number("timestamp", attestation.timestamp_seconds);
  visit.Text("node", attestation.node);
}

// Attestation -> JSON message.
struct Writer {
  void Text(const char* key, const std::string& value) { message[key] = value; }
  void Texts(const char* key, const std::vector<std::string>& value) { message[key] = value; }
  void Number(const char* key, std::uint64_t value) { message[key] = std::to_string(value); }
  void Hash(const char* key, const std::string& value) {
    if (value.size() != 64 || !base::HexDecode(value)) wrong_hash = key;
    message[key] = "0x" + value;
  }

  ordered_json message = ordered_json::object();
  const char* wrong_hash = nullptr;
};

// JSON message, whose digest was made by its types and which is therefore well-formed ->
// Attestation.
struct Reader {
  void Text(const char* key, std::string& value) { value = message[key].get<std::string>(); }
  void Texts(const char* key, std::vector<std::string>& value) {
    value = message[key].get<std::vector<std::string>>();
  }
  void Number(const char* key, std::uint64_t& value) {
    value = ReadUint64(message[key]).value_or(0);
  }
  void Hash(const char* key, std::string& value) {
    value = absl::AsciiStrToLower(message[key].get<std::string>().substr(2));
  }

  const json& message;
};

absl::Status Invalid(std::string_view what) {
  return absl::InvalidArgumentError(base::StrCat("the attestation is not valid: ", what));
}

}  // namespace

absl::StatusOr<std::string> SignAttestation(const Wallet& wallet, Attestation attestation) {
  attestation.node = wallet.address().ToString();
  Writer writer;
  VisitFields(std::as_const(attestation), writer);
  if (writer.wrong_hash != nullptr) {
    return absl::InvalidArgumentError(base::StrCat("cannot attest: ", writer.wrong_hash,
                                                   " is not a SHA-256 in 64 hexadecimal digits"));
  }
  ASSIGN_OR_RETURN(std::string text, TypedMessageText(kType, writer.message));
  ASSIGN_OR_RETURN(const std::string signature, SignTypedMessage(wallet, text));
  text.back() = ',';  // In place of the closing brace.
  text += base::StrCat(R"("signature":"0x)", base::HexEncode(signature), R"("})");
  if (text.size() > kAttestationBytesMax) {
    return absl::InvalidArgumentError(base::StrCat("cannot attest: the attestation has ",
                                                   text.size(), " bytes; at most ",
                                                   kAttestationBytesMax, " are allowed"));
  }
  return text;
}

absl::StatusOr<Attestation> VerifyAttestation(std::string_view text) {
  if (text.size() > kAttestationBytesMax) {
    return Invalid(base::StrCat("it has more than ", kAttestationBytesMax, " bytes"));
  }
  const json typed_data = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (typed_data.is_discarded()) return Invalid("it is not JSON");
  if (const absl::Status ours = CheckIsOurs(kType, typed_data); !ours.ok()) {
    return Invalid(base::ToStd(ours.message()));
  }
  const absl::StatusOr<base::Digest> digest = TypedDataDigest(typed_data);
  if (!digest.ok()) return Invalid(base::ToStd(digest.status().message()));
  if (typed_data.size() != 5) {
    return Invalid("it is not exactly domain, types, primaryType, message and signature");
  }
  const auto signature = typed_data.find("signature");
  if (signature == typed_data.end() || !signature->is_string()) {
    return Invalid("it carries no signature");
  }
  const std::optional<std::string> bytes =
      base::HexDecode(signature->get_ref<const std::string&>());
  if (!bytes) return Invalid("its signature is not hexadecimal");
  const absl::StatusOr<EthereumAddress> signer = RecoverSigner(*digest, *bytes);
  if (!signer.ok()) return Invalid(base::ToStd(signer.status().message()));

  Attestation attestation;
  Reader reader{typed_data["message"]};
  VisitFields(attestation, reader);
  ASSIGN_OR_RETURN(const EthereumAddress node, EthereumAddress::Parse(attestation.node));
  attestation.node = node.ToString();
  if (*signer != node) {
    return absl::DataLossError(
        base::StrCat("the attestation was changed or forged: its signature is not of its node ",
                     attestation.node));
  }
  return attestation;
}

}  // namespace ncn::signing
