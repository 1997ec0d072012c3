#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "inference/inference_response.h"

namespace ncn::apps {

// A signed result as a JSON file, for keeping and for verifying elsewhere: request_id, model,
// content_type, output (base64), timestamp (Unix seconds), response_hash and response_signature
// (hexadecimal), signer (EIP-55 address), completion_validation (the attestation, JSON as text).
std::string ToResponseFile(const inference::InferenceResponse& response);

// Reads such a file, which is untrusted. InvalidArgument names the field that is wrong. The
// result's record stays empty: whoever verifies takes it from the attestation.
absl::StatusOr<inference::InferenceResponse> FromResponseFile(std::string_view text);

}  // namespace ncn::apps
