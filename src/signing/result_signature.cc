#include "signing/result_signature.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/attestation.h"
#include "signing/recovery.h"

namespace ncn::signing {
namespace {

// A text from outside, fit for a message.
std::string Shown(std::string_view text) {
  return base::StrCat("'", absl::CHexEscape(base::ToAbsl(text.substr(0, 128))), "'");
}

absl::Status Disagree(std::string_view what, std::string_view attested, std::string_view found) {
  return absl::DataLossError(base::StrCat("the response was changed: its ", what, " is ",
                                          Shown(found), ", but the node attested ",
                                          Shown(attested)));
}

absl::Status CheckHash(const inference::InferenceResponse& response, const base::Digest& hash) {
  const std::string& stated = response.signature.response_hash;
  if (stated.size() != hash.size()) {
    return absl::InvalidArgumentError(
        base::StrCat("response_hash has ", stated.size(), " bytes instead of 32"));
  }
  if (stated == base::AsBytes(hash)) return absl::OkStatus();
  return absl::DataLossError(base::StrCat("the response was changed: response_hash is ",
                                          base::HexEncode(stated), ", but the output's SHA-256 is ",
                                          base::AsHex(hash)));
}

// That everything the response states beside the attestation is what was attested.
absl::Status CheckStatements(const inference::InferenceResponse& response, const base::Digest& hash,
                             const Attestation& attested) {
  const std::pair<const char*, std::pair<std::string, std::string>> required[] = {
      {"request id", {attested.request_id, response.request_id.value()}},
      {"model", {attested.model, response.model.value()}},
      {"output's SHA-256", {attested.output_hash, base::AsHex(hash)}},
      {"output's media type",
       {attested.output_content_type, response.result().output.content_type}},
      {"timestamp",
       {std::to_string(attested.timestamp_seconds),
        std::to_string(response.signature.timestamp_seconds)}},
  };
  for (const auto& [what, values] : required) {
    if (values.first != values.second) return Disagree(what, values.first, values.second);
  }
  return absl::OkStatus();
}

std::uint64_t NonNegative(std::int64_t count) {
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

std::uint64_t UnixMillis(std::chrono::system_clock::time_point time) {
  return NonNegative(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

// A record that travels beside its attestation may leave out fields, but not differ.
absl::Status CheckRecord(const inference::ExecutionRecord& record, const Attestation& attested) {
  const std::pair<const char*, std::pair<const std::string&, const std::string&>> texts[] = {
      {"model hash", {attested.model_hash, record.model_hash}},
      {"executor", {attested.executor, record.executor}},
      {"executor hash", {attested.executor_hash, record.executor_hash}},
      {"image digest", {attested.image_digest, record.image_digest}},
      {"sandbox mode", {attested.sandbox_mode, record.sandbox_mode}},
      {"isolation", {attested.isolation, record.isolation}},
      {"policy hash", {attested.policy_hash, record.policy_hash}},
  };
  for (const auto& [what, values] : texts) {
    if (!values.second.empty() && values.first != values.second) {
      return Disagree(what, values.first, values.second);
    }
  }
  if (!record.layers.empty() && record.layers != attested.layers) {
    return absl::DataLossError(
        "the response was changed: its list of sandbox layers is not the one the node attested");
  }
  const std::pair<const char*, std::pair<std::uint64_t, std::uint64_t>> numbers[] = {
      {"CPU time", {attested.cpu_micros, NonNegative(record.usage.cpu.count())}},
      {"wall-clock time", {attested.wall_micros, NonNegative(record.usage.wall.count())}},
      {"peak memory", {attested.peak_memory_bytes, record.usage.peak_memory_bytes}},
      {"start", {attested.started_at_millis, UnixMillis(record.started_at)}},
      {"end", {attested.finished_at_millis, UnixMillis(record.finished_at)}},
  };
  for (const auto& [what, values] : numbers) {
    if (values.second != 0 && values.first != values.second) {
      return Disagree(what, std::to_string(values.first), std::to_string(values.second));
    }
  }
  return absl::OkStatus();
}

// Everything but the output itself, which `hash` stands for, and the plain signature over it.
absl::StatusOr<Attestation> VerifyStatements(const inference::InferenceResponse& response,
                                             const base::Digest& hash) {
  if (!response.ok()) {
    return absl::FailedPreconditionError(base::StrCat("the response is a failure (",
                                                      inference::Name(response.failure().kind),
                                                      "), which nobody signs"));
  }
  const inference::ResultSignature& signature = response.signature;
  if (signature.response_signature.empty() || signature.completion_validation.empty()) {
    return absl::FailedPreconditionError(base::StrCat(
        "the result carries no ",
        signature.response_signature.empty() ? "response_signature" : "completion_validation",
        ", so nothing proves who computed it; ask a node that signs"));
  }
  RETURN_IF_ERROR(CheckHash(response, hash));
  ASSIGN_OR_RETURN(Attestation attested, VerifyAttestation(signature.completion_validation));
  RETURN_IF_ERROR(CheckStatements(response, hash, attested));
  RETURN_IF_ERROR(CheckRecord(response.result().record, attested));

  ASSIGN_OR_RETURN(const EthereumAddress named, EthereumAddress::Parse(signature.signer_address));
  if (named.ToString() != attested.node) {
    return Disagree("signer", attested.node, named.ToString());
  }
  return attested;
}

absl::StatusOr<Attestation> Verify(const inference::InferenceResponse& response) {
  static const std::string none;
  const std::string& output = response.ok() ? response.result().output.bytes : none;
  ASSIGN_OR_RETURN(Attestation attested, VerifyStatements(response, base::Sha256(output)));
  ASSIGN_OR_RETURN(
      const EthereumAddress signer,
      RecoverSigner(ResultDigest(attested.request_id, output, response.signature.timestamp_seconds),
                    response.signature.response_signature));
  if (signer.ToString() != attested.node) {
    return absl::DataLossError(
        base::StrCat("the response was changed or forged: response_signature is not of the signer ",
                     attested.node));
  }
  return attested;
}

}  // namespace

base::Digest ResultDigest(std::string_view request_id, std::string_view output,
                          std::int64_t timestamp_seconds) {
  return base::Sha256Hasher()
      .Update(request_id)
      .Update(output)
      .Update(std::to_string(timestamp_seconds))
      .Finish();
}

absl::StatusOr<inference::ResultSignature> SignResult(const Wallet& wallet,
                                                      const inference::RequestId& request_id,
                                                      std::string_view output,
                                                      std::int64_t timestamp_seconds) {
  if (timestamp_seconds < 0) {
    return absl::InvalidArgumentError("the time to sign is before 1970; set the machine's clock");
  }
  inference::ResultSignature signature = {
      .response_hash = std::string(base::AsBytes(base::Sha256(output))),
      .timestamp_seconds = timestamp_seconds,
      .signer_address = wallet.address().ToString()};
  ASSIGN_OR_RETURN(signature.response_signature,
                   wallet.Sign(ResultDigest(request_id.value(), output, timestamp_seconds)));
  return signature;
}

absl::StatusOr<EthereumAddress> VerifyResponse(const inference::InferenceResponse& response) {
  ASSIGN_OR_RETURN(const Attestation attested, Verify(response));
  return EthereumAddress::Parse(attested.node);
}

absl::StatusOr<EthereumAddress> VerifyResponseWithoutOutput(
    const inference::InferenceResponse& response, std::string_view input_hash) {
  base::Digest hash{};
  if (response.signature.response_hash.size() != hash.size()) {
    return absl::FailedPreconditionError("the response has no response_hash of 32 bytes");
  }
  std::copy(response.signature.response_hash.begin(), response.signature.response_hash.end(),
            hash.begin());
  ASSIGN_OR_RETURN(const Attestation attested, VerifyStatements(response, hash));
  if (attested.input_hash != base::HexEncode(input_hash)) {
    return Disagree("input hash", attested.input_hash, base::HexEncode(input_hash));
  }
  return EthereumAddress::Parse(attested.node);
}

absl::StatusOr<EthereumAddress> VerifyResponseTo(const inference::InferenceRequest& request,
                                                 const inference::InferenceResponse& response) {
  if (response.request_id != request.id) {
    return absl::DataLossError(base::StrCat("this answers request ", response.request_id.value(),
                                            ", not ", request.id.value()));
  }
  if (response.model != request.model) {
    return absl::DataLossError(base::StrCat("this is an answer of model ", response.model.value(),
                                            ", not of ", request.model.value()));
  }
  ASSIGN_OR_RETURN(const Attestation attested, Verify(response));
  const std::string input_hash = base::AsHex(base::Sha256(request.input.bytes));
  if (attested.input_hash != input_hash) {
    return absl::DataLossError(
        base::StrCat("the node answered another input: it attests the SHA-256 ",
                     attested.input_hash, ", the request's is ", input_hash));
  }
  return EthereumAddress::Parse(attested.node);
}

}  // namespace ncn::signing
