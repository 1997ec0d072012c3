#include "apps/ncn/response_file.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::apps {

using inference::InferenceResponse;
using inference::InferenceResult;
using nlohmann::json;

namespace {

absl::StatusOr<std::string> Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return absl::InvalidArgumentError(base::StrCat("the file has no text '", key, "'"));
  }
  return found->get<std::string>();
}

absl::StatusOr<std::string> Hex(const json& object, const char* key) {
  ASSIGN_OR_RETURN(const std::string digits, Text(object, key));
  const auto bytes = base::HexDecode(digits);
  if (!bytes) return absl::InvalidArgumentError(base::StrCat("'", key, "' is not hexadecimal"));
  return *bytes;
}

}  // namespace

std::string ToResponseFile(const InferenceResponse& response) {
  const inference::Payload& output = response.result().output;
  const inference::ResultSignature& signature = response.signature;
  const json file = {{"request_id", response.request_id.value()},
                     {"model", response.model.value()},
                     {"content_type", output.content_type},
                     {"output", absl::Base64Escape(output.bytes)},
                     {"timestamp", signature.timestamp_seconds},
                     {"response_hash", base::HexEncode(signature.response_hash)},
                     {"response_signature", base::HexEncode(signature.response_signature)},
                     {"signer", signature.signer_address},
                     {"completion_validation", signature.completion_validation}};
  return file.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<InferenceResponse> FromResponseFile(std::string_view text) {
  const json file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!file.is_object()) return absl::InvalidArgumentError("the file is not a JSON object");
  ASSIGN_OR_RETURN(const std::string id_text, Text(file, "request_id"));
  ASSIGN_OR_RETURN(const std::string model_text, Text(file, "model"));
  ASSIGN_OR_RETURN(inference::RequestId id, inference::RequestId::Parse(id_text));
  ASSIGN_OR_RETURN(inference::ModelId model, inference::ModelId::Parse(model_text));
  InferenceResult result;
  ASSIGN_OR_RETURN(result.output.content_type, Text(file, "content_type"));
  ASSIGN_OR_RETURN(const std::string output, Text(file, "output"));
  if (!absl::Base64Unescape(output, &result.output.bytes)) {
    return absl::InvalidArgumentError("'output' is not base64");
  }
  inference::ResultSignature signature;
  ASSIGN_OR_RETURN(signature.response_hash, Hex(file, "response_hash"));
  ASSIGN_OR_RETURN(signature.response_signature, Hex(file, "response_signature"));
  ASSIGN_OR_RETURN(signature.signer_address, Text(file, "signer"));
  ASSIGN_OR_RETURN(signature.completion_validation, Text(file, "completion_validation"));
  const auto timestamp = file.find("timestamp");
  if (timestamp == file.end() || !timestamp->is_number_integer()) {
    return absl::InvalidArgumentError("the file has no whole number 'timestamp'");
  }
  signature.timestamp_seconds = timestamp->get<std::int64_t>();
  return InferenceResponse{.request_id = std::move(id),
                           .model = std::move(model),
                           .outcome = std::move(result),
                           .signature = std::move(signature)};
}

}  // namespace ncn::apps
