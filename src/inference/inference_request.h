#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "inference/limits.h"
#include "inference/model_id.h"
#include "inference/payload.h"

namespace ncn::inference {

// A client's promise to pay for one request, signed by the payer's wallet.
struct PaymentProof {
  std::string payer_address;  // EIP-55 address.
  std::string amount_wei;     // Decimal digits.
  std::string signature;      // 65 bytes r‖s‖v; what is signed: signing/payment.h.
};

// One question to one model. Immutable once validated; owned by whoever executes it.
struct InferenceRequest {
  RequestId id;
  ModelId model;
  Payload input;
  std::string accept;                    // Wanted media type of the answer; empty: as the input's.
  std::chrono::milliseconds timeout{0};  // 0: the node's own limit.
  std::optional<std::uint64_t> seed;     // For models that draw random numbers.
  std::string client_address;            // The client's wallet address; empty when unknown.
  std::optional<PaymentProof> payment;
};

// Whether the request keeps to the limits and its media types are well-formed. InvalidArgument or
// ResourceExhausted says what is wrong.
absl::Status Validate(const InferenceRequest& request, const RequestLimits& limits);

// type/subtype of at most 100 printable characters.
bool IsMediaType(std::string_view text);

}  // namespace ncn::inference
