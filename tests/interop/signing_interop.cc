// Exchanges signatures with another implementation; the shape is described in vectors.mjs.
//   signing_interop sign           prints what this project signs
//   signing_interop verify FILE    verifies what the other one signed
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/fake_clock.h"
#include "base/files.h"
#include "base/hex.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/keccak.h"
#include "signing/payment.h"
#include "signing/result_signature.h"
#include "signing/result_signer.h"
#include "signing/session_proof.h"
#include "signing/subnet_signature.h"

namespace ncn::signing {
namespace {

using nlohmann::json;

// Bytes of any kind that depend on `seed` only.
std::string Bytes(int seed, std::size_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    bytes += base::AsBytes(base::Sha256(base::StrCat(seed, ":", bytes.size())));
  }
  return bytes.substr(0, size);
}

json Hashes(std::size_t size) {
  const std::string input = Bytes(7, size);
  return {{"input", base::HexEncode(input)},
          {"keccak256", base::AsHex(Keccak256(input))},
          {"sha256", base::AsHex(base::Sha256(input))}};
}

absl::StatusOr<json> SignedResponse(const Wallet& wallet, int seed) {
  ASSIGN_OR_RETURN(inference::RequestId id,
                   inference::RequestId::Parse(base::StrCat("node:", seed)));
  ASSIGN_OR_RETURN(inference::ModelId model,
                   inference::ModelId::Parse(base::StrCat("model-", seed)));
  const inference::InferenceRequest request = {
      .id = id, .model = model, .input = {Bytes(seed, 10), "application/json"}};
  inference::ExecutionRecord record = {
      .model_hash = base::AsHex(base::Sha256("model")),
      .executor =
          "ex\xc3\xa9"
          "cuteur \xf0\x9f\x99\x82 \"x\"\n",
      .sandbox_mode = "strict",
      .layers = std::vector<std::string>(static_cast<std::size_t>(seed), "layer")};
  record.usage.peak_memory_bytes = ~0ull;
  inference::InferenceResponse response = {
      .request_id = id,
      .model = model,
      .outcome = inference::InferenceResult{
          {Bytes(seed, static_cast<std::size_t>(seed) * 37), "application/x-safetensors"}, record}};
  const base::FakeClock clock;
  RETURN_IF_ERROR(ResultSigner(wallet, clock).Sign(request, response));
  return json{{"request_id", id.value()},
              {"model", model.value()},
              {"output", absl::Base64Escape(response.result().output.bytes)},
              {"content_type", response.result().output.content_type},
              {"timestamp", response.signature.timestamp_seconds},
              {"response_hash", base::HexEncode(response.signature.response_hash)},
              {"response_signature", base::HexEncode(response.signature.response_signature)},
              {"signer", response.signature.signer_address},
              {"completion_validation", response.signature.completion_validation}};
}

absl::StatusOr<json> SignedPayment(const Wallet& wallet, int seed) {
  ASSIGN_OR_RETURN(const inference::RequestId id, inference::RequestId::Parse("req-1"));
  ASSIGN_OR_RETURN(const inference::ModelId model, inference::ModelId::Parse("digits"));
  const std::string amount = "1" + std::string(static_cast<std::size_t>(seed) * 5, '0');
  ASSIGN_OR_RETURN(const inference::PaymentProof proof, SignPayment(wallet, id, model, amount));
  return json{{"request_id", id.value()},
              {"model", model.value()},
              {"payer", proof.payer_address},
              {"amount_wei", proof.amount_wei},
              {"signature", base::HexEncode(proof.signature)}};
}

absl::StatusOr<json> SignedChallenge(const Wallet& wallet, int seed) {
  const std::string nonce = Bytes(seed, kNonceBytesMin + static_cast<std::size_t>(seed) * 3);
  const std::string gateway = "https://gateway.example:50051";
  ASSIGN_OR_RETURN(const std::string signature, SignChallenge(wallet, nonce, gateway, 2));
  return json{{"nonce", base::HexEncode(nonce)},
              {"gateway", gateway},
              {"protocol_version", 2},
              {"signer", wallet.address().ToString()},
              {"signature", base::HexEncode(signature)}};
}

// The message of EIP-712 that stands for `subnet`.
json SubnetMessage(const inference::Subnet& subnet) {
  json models = json::array();
  for (const inference::SubnetModel& model : subnet.models) {
    json files = json::array();
    for (const inference::SubnetFile& file : model.files) {
      files.push_back({{"path", file.path},
                       {"sizeBytes", file.size_bytes},
                       {"sha256", "0x" + file.sha256},
                       {"unpack", file.unpack}});
    }
    models.push_back({{"model", model.model.value()},
                      {"version", model.version},
                      {"format", model.format},
                      {"files", std::move(files)},
                      {"executorScript", model.executor_script},
                      {"memoryBytesMin", model.memory_bytes_min}});
  }
  return {{"subnetId", subnet.subnet_id},
          {"name", subnet.name},
          {"owner", subnet.owner_address},
          {"version", std::to_string(subnet.version)},
          {"models", std::move(models)}};
}

absl::StatusOr<inference::Subnet> ReadSubnet(const json& message) {
  inference::Subnet subnet{
      .subnet_id = message.value("subnetId", 0u),
      .name = message.value("name", ""),
      .owner_address = message.value("owner", ""),
      .version = std::strtoull(message.value("version", "").c_str(), nullptr, 10)};
  for (const json& entry : message.value("models", json::array())) {
    ASSIGN_OR_RETURN(auto name, inference::ModelId::Parse(entry.value("model", "")));
    inference::SubnetModel model{.model = std::move(name),
                                 .version = entry.value("version", ""),
                                 .format = entry.value("format", ""),
                                 .executor_script = entry.value("executorScript", ""),
                                 .memory_bytes_min = entry.value("memoryBytesMin", 0u)};
    for (const json& file : entry.value("files", json::array())) {
      model.files.push_back({.path = file.value("path", ""),
                             .size_bytes = file.value("sizeBytes", 0u),
                             .sha256 = file.value("sha256", "0x").substr(2),
                             .unpack = file.value("unpack", false)});
    }
    subnet.models.push_back(std::move(model));
  }
  return subnet;
}

absl::StatusOr<json> SignedSubnet(const Wallet& wallet, int seed) {
  inference::Subnet subnet{.subnet_id = static_cast<std::uint32_t>(seed) + 1,
                           .name = "sous-r\xc3\xa9seau",
                           .owner_address = wallet.address().ToString(),
                           .version = ~0ull - static_cast<std::uint64_t>(seed)};
  for (int i = 0; i < seed; ++i) {
    ASSIGN_OR_RETURN(auto name, inference::ModelId::Parse(base::StrCat("model-", i)));
    inference::SubnetModel model{
        .model = std::move(name), .version = "1", .format = "onnx", .executor_script = "run.py"};
    for (int file = 0; file < i; ++file) {
      model.files.push_back({.path = base::StrCat("files/", file),
                             .size_bytes = static_cast<std::uint64_t>(file) << 32,
                             .sha256 = base::AsHex(base::Sha256(Bytes(file, 10))),
                             .unpack = file == 1});
    }
    subnet.models.push_back(std::move(model));
  }
  ASSIGN_OR_RETURN(const std::string signature, SignSubnet(wallet, subnet));
  return json{{"message", SubnetMessage(subnet)},
              {"signer", subnet.owner_address},
              {"signature", base::HexEncode(signature)}};
}

absl::StatusOr<json> SignedUpload(const Wallet& wallet, int seed) {
  const FileUpload upload{.subnet_id = static_cast<std::uint32_t>(seed) + 1,
                          .sha256 = base::AsHex(base::Sha256(Bytes(seed, 10))),
                          .size_bytes = static_cast<std::uint64_t>(seed) << 20,
                          .expires_seconds = 1767225600};
  ASSIGN_OR_RETURN(const std::string signature, SignFileUpload(wallet, upload));
  return json{{"message",
               {{"subnetId", upload.subnet_id},
                {"sha256", "0x" + upload.sha256},
                {"sizeBytes", upload.size_bytes},
                {"expiresSeconds", upload.expires_seconds}}},
              {"signer", wallet.address().ToString()},
              {"signature", base::HexEncode(signature)}};
}

absl::StatusOr<json> Sign() {
  json vectors;
  for (const std::size_t size : {0, 1, 31, 32, 33, 135, 136, 137, 1000}) {
    vectors["hashes"].push_back(Hashes(size));
  }
  for (int seed = 0; seed < 16; ++seed) {
    const std::string key = base::AsHex(base::Sha256(base::StrCat("interop key ", seed)));
    ASSIGN_OR_RETURN(const Wallet wallet, Wallet::FromPrivateKeyHex(key));
    vectors["keys"].push_back({{"private_key", key}, {"address", wallet.address().ToString()}});
    ASSIGN_OR_RETURN(json response, SignedResponse(wallet, seed));
    ASSIGN_OR_RETURN(json payment, SignedPayment(wallet, seed));
    ASSIGN_OR_RETURN(json challenge, SignedChallenge(wallet, seed));
    vectors["responses"].push_back(std::move(response));
    vectors["payments"].push_back(std::move(payment));
    vectors["challenges"].push_back(std::move(challenge));
    ASSIGN_OR_RETURN(json subnet, SignedSubnet(wallet, seed));
    ASSIGN_OR_RETURN(json upload, SignedUpload(wallet, seed));
    vectors["subnets"].push_back(std::move(subnet));
    vectors["uploads"].push_back(std::move(upload));
  }
  return vectors;
}

std::string Text(const json& item, const char* key) { return item.value(key, ""); }
std::string Binary(const json& item, const char* key) {
  return base::HexDecode(Text(item, key)).value_or("");
}

absl::Status ExpectEqual(std::string_view what, std::string_view found, std::string_view expected) {
  if (found == expected) return absl::OkStatus();
  return absl::DataLossError(
      base::StrCat(what, ": this project finds ", found, ", not ", expected));
}

absl::Status VerifyHashes(const json& item) {
  const std::string input = Binary(item, "input");
  RETURN_IF_ERROR(ExpectEqual("keccak256", base::AsHex(Keccak256(input)), Text(item, "keccak256")));
  return ExpectEqual("sha256", base::AsHex(base::Sha256(input)), Text(item, "sha256"));
}

absl::Status VerifyKey(const json& item) {
  ASSIGN_OR_RETURN(const Wallet wallet, Wallet::FromPrivateKeyHex(Text(item, "private_key")));
  RETURN_IF_ERROR(ExpectEqual("address", wallet.address().ToString(), Text(item, "address")));
  return EthereumAddress::Parse(Text(item, "address")).status();
}

absl::Status VerifySignedResponse(const json& item) {
  ASSIGN_OR_RETURN(inference::RequestId id, inference::RequestId::Parse(Text(item, "request_id")));
  ASSIGN_OR_RETURN(inference::ModelId model, inference::ModelId::Parse(Text(item, "model")));
  inference::InferenceResult result;
  result.output.content_type = Text(item, "content_type");
  if (!absl::Base64Unescape(Text(item, "output"), &result.output.bytes)) {
    return absl::InvalidArgumentError("output is not base64");
  }
  inference::InferenceResponse response = {
      .request_id = id,
      .model = model,
      .outcome = result,
      .signature = {.response_hash = Binary(item, "response_hash"),
                    .response_signature = Binary(item, "response_signature"),
                    .timestamp_seconds = item.value("timestamp", std::int64_t{0}),
                    .signer_address = Text(item, "signer"),
                    .completion_validation = Text(item, "completion_validation")}};
  ASSIGN_OR_RETURN(const EthereumAddress signer, VerifyResponse(response));
  RETURN_IF_ERROR(ExpectEqual("signer", signer.ToString(), Text(item, "signer")));
  response.signature.timestamp_seconds += 1;
  if (!VerifyResponse(response).ok()) return absl::OkStatus();
  return absl::InternalError("a response with another timestamp was accepted");
}

absl::Status VerifySignedPayment(const json& item) {
  ASSIGN_OR_RETURN(inference::RequestId id, inference::RequestId::Parse(Text(item, "request_id")));
  ASSIGN_OR_RETURN(inference::ModelId model, inference::ModelId::Parse(Text(item, "model")));
  inference::InferenceRequest request = {.id = id, .model = model};
  request.payment = inference::PaymentProof{.payer_address = Text(item, "payer"),
                                            .amount_wei = Text(item, "amount_wei"),
                                            .signature = Binary(item, "signature")};
  return VerifyPayment(request).status();
}

absl::Status VerifySignedChallenge(const json& item) {
  ASSIGN_OR_RETURN(const EthereumAddress signer,
                   VerifyChallenge(Binary(item, "nonce"), Text(item, "gateway"),
                                   item.value("protocol_version", 0u), Binary(item, "signature")));
  return ExpectEqual("signer of a challenge", signer.ToString(), Text(item, "signer"));
}

absl::Status VerifySignedSubnet(const json& item) {
  ASSIGN_OR_RETURN(inference::Subnet subnet, ReadSubnet(item.value("message", json::object())));
  subnet.owner_signature = Binary(item, "signature");
  ASSIGN_OR_RETURN(const EthereumAddress owner, VerifySubnet(subnet));
  return ExpectEqual("owner of a subnet", owner.ToString(), Text(item, "signer"));
}

absl::Status VerifySignedUpload(const json& item) {
  const json message = item.value("message", json::object());
  ASSIGN_OR_RETURN(
      const EthereumAddress signer,
      RecoverFileUploadSigner({.subnet_id = message.value("subnetId", 0u),
                               .sha256 = message.value("sha256", "0x").substr(2),
                               .size_bytes = message.value("sizeBytes", std::uint64_t{0}),
                               .expires_seconds = message.value("expiresSeconds", std::int64_t{0})},
                              Binary(item, "signature")));
  return ExpectEqual("signer of an upload", signer.ToString(), Text(item, "signer"));
}

absl::StatusOr<std::string> Verify(const char* file) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(file, 16 << 20));
  const json vectors = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const std::pair<const char*, absl::Status (*)(const json&)> kinds[] = {
      {"hashes", VerifyHashes},
      {"keys", VerifyKey},
      {"responses", VerifySignedResponse},
      {"payments", VerifySignedPayment},
      {"challenges", VerifySignedChallenge},
      {"subnets", VerifySignedSubnet},
      {"uploads", VerifySignedUpload}};
  std::string counts;
  for (const auto& [kind, verify] : kinds) {
    if (!vectors.is_object() || !vectors.contains(kind) || vectors[kind].empty()) {
      return absl::InvalidArgumentError(base::StrCat(file, " holds no ", kind));
    }
    for (const json& item : vectors[kind]) RETURN_IF_ERROR(verify(item));
    counts += base::StrCat(counts.empty() ? "" : ", ", vectors[kind].size(), " ", kind);
  }
  return "signed by ethers, verified by the node: " + counts;
}

absl::StatusOr<std::string> Run(const std::vector<std::string_view>& arguments, char** argv) {
  if (arguments.size() == 1 && arguments[0] == "sign") {
    ASSIGN_OR_RETURN(const json vectors, Sign());
    return vectors.dump();
  }
  if (arguments.size() == 2 && arguments[0] == "verify") return Verify(argv[2]);
  return absl::InvalidArgumentError("usage: signing_interop sign | verify FILE");
}

}  // namespace
}  // namespace ncn::signing

int main(int argc, char** argv) {
  const absl::StatusOr<std::string> answer =
      ncn::signing::Run(std::vector<std::string_view>(argv + 1, argv + argc), argv);
  if (!answer.ok()) {
    std::fprintf(stderr, "signing_interop: %s\n", std::string(answer.status().message()).c_str());
    return 1;
  }
  std::printf("%s\n", answer->c_str());
  return 0;
}
