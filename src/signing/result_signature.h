#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/sha256.h"
#include "inference/inference_request.h"
#include "inference/inference_response.h"
#include "signing/address.h"
#include "signing/wallet.h"

namespace ncn::signing {

// What response_signature signs: SHA-256(request_id ‖ output ‖ decimal Unix seconds), without any
// prefix. The parts are not delimited, so it is the attestation that says where each begins; a
// result counts as verified only with both.
base::Digest ResultDigest(std::string_view request_id, std::string_view output,
                          std::int64_t timestamp_seconds);

// The plain signature of a result: everything of ResultSignature but completion_validation.
absl::StatusOr<inference::ResultSignature> SignResult(const Wallet& wallet,
                                                      const inference::RequestId& request_id,
                                                      std::string_view output,
                                                      std::int64_t timestamp_seconds);

// Verifies a response that carries a result: hash, signature, signer's address, and the attestation
// with its own signature, which must state the same request, model, output and signer and agree
// with whatever the response's ExecutionRecord states. Returns who signed; whether that is who
// should have is for the caller. Errors, each with a message of its own: FailedPrecondition for a
// failure or an unsigned result, InvalidArgument for what is malformed, DataLoss for what does not
// agree. Thread-safe.
absl::StatusOr<EthereumAddress> VerifyResponse(const inference::InferenceResponse& response);

// What can be verified by whoever has not seen the output: all of the attestation, that it is about
// an output of response_hash and an input of `input_hash` (32 bytes). The plain response_signature
// covers the output itself and is not looked at.
absl::StatusOr<EthereumAddress> VerifyResponseWithoutOutput(
    const inference::InferenceResponse& response, std::string_view input_hash);

// As VerifyResponse, and that it answers `request`: its id, its model, exactly its input.
absl::StatusOr<EthereumAddress> VerifyResponseTo(const inference::InferenceRequest& request,
                                                 const inference::InferenceResponse& response);

}  // namespace ncn::signing
