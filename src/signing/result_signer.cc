#include "signing/result_signer.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/hex.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/attestation.h"
#include "signing/result_signature.h"

namespace ncn::signing {
namespace {

// Times before 1970 and negative durations cannot be stated; they become zero.
template <typename Unit, typename Duration>
std::uint64_t Count(Duration duration) {
  const auto count = std::chrono::duration_cast<Unit>(duration).count();
  return static_cast<std::uint64_t>(std::max<decltype(count)>(count, 0));
}

std::string OrUnknown(const std::string& hash) {
  return hash.empty() ? std::string(64, '0') : hash;
}

Attestation Attest(const inference::InferenceRequest& request,
                   const inference::InferenceResult& result) {
  using std::chrono::microseconds;
  using std::chrono::milliseconds;
  const inference::ExecutionRecord& record = result.record;
  return {.request_id = request.id.value(),
          .model = request.model.value(),
          .model_hash = OrUnknown(record.model_hash),
          .executor = record.executor,
          .executor_hash = OrUnknown(record.executor_hash),
          .image_digest = record.image_digest,
          .input_hash = base::AsHex(base::Sha256(request.input.bytes)),
          .output_content_type = result.output.content_type,
          .sandbox_mode = record.sandbox_mode,
          .isolation = record.isolation,
          .policy_hash = OrUnknown(record.policy_hash),
          .layers = record.layers,
          .cpu_micros = Count<microseconds>(record.usage.cpu),
          .wall_micros = Count<microseconds>(record.usage.wall),
          .peak_memory_bytes = record.usage.peak_memory_bytes,
          .started_at_millis = Count<milliseconds>(record.started_at.time_since_epoch()),
          .finished_at_millis = Count<milliseconds>(record.finished_at.time_since_epoch())};
}

absl::StatusOr<inference::ResultSignature> MakeSignature(const Wallet& wallet,
                                                         const base::Clock& clock,
                                                         const inference::InferenceRequest& request,
                                                         const inference::InferenceResult& result) {
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(clock.WallNow().time_since_epoch());
  ASSIGN_OR_RETURN(inference::ResultSignature signature,
                   SignResult(wallet, request.id, result.output.bytes, now.count()));
  Attestation attestation = Attest(request, result);
  attestation.output_hash = base::HexEncode(signature.response_hash);
  attestation.timestamp_seconds = static_cast<std::uint64_t>(now.count());
  ASSIGN_OR_RETURN(signature.completion_validation,
                   SignAttestation(wallet, std::move(attestation)));
  return signature;
}

}  // namespace

absl::Status ResultSigner::Sign(const inference::InferenceRequest& request,
                                inference::InferenceResponse& response) const {
  response.signature = {};
  if (!response.ok()) return absl::OkStatus();
  if (response.request_id != request.id || response.model != request.model) {
    return absl::InternalError(base::StrCat("the response is for request ",
                                            response.request_id.value(), ", not for ",
                                            request.id.value(), "; it is not signed"));
  }
  absl::StatusOr<inference::ResultSignature> signature =
      MakeSignature(wallet_, clock_, request, response.result());
  if (!signature.ok()) {
    return absl::InternalError(
        base::StrCat("the result cannot be signed: ", signature.status().message()));
  }
  response.signature = *std::move(signature);
  return absl::OkStatus();
}

}  // namespace ncn::signing
