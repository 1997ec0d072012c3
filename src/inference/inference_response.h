#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "inference/failure.h"
#include "inference/model_id.h"
#include "inference/payload.h"

namespace ncn::inference {

// One step of a request's way and how long it took, in the order of the steps.
struct StepTime {
  std::string step;
  std::chrono::microseconds duration{0};
};

// What an execution used, as the kernel counted it.
struct ResourceUsage {
  std::chrono::microseconds wall{0};
  std::chrono::microseconds cpu{0};
  std::uint64_t peak_memory_bytes = 0;
};

// How a result came to be: everything that an attestation states besides the bytes themselves.
struct ExecutionRecord {
  std::string model_hash;           // Of all the model's files: models::Model::tree_sha256.
  std::string executor;             // Name of the executor or its script.
  std::string executor_hash;        // SHA-256 of the executor's code, hex.
  std::string image_digest;         // Of the runtime image, "sha256:…"; empty without one.
  std::string sandbox_mode;         // strict, permissive, disabled.
  std::string isolation;            // cold, request, tenant, rewind.
  std::string policy_hash;          // SHA-256 of the sandbox policy, hex.
  std::vector<std::string> layers;  // Sandbox layers really in force.
  ResourceUsage usage;
  std::chrono::system_clock::time_point started_at;
  std::chrono::system_clock::time_point finished_at;
  std::vector<StepTime> steps;
  std::vector<std::string> notes;  // Such as why an earlier candidate executor did not answer.
};

struct InferenceResult {
  Payload output;
  ExecutionRecord record;
};

// The node's signature over a result. Binary strings, not hex.
struct ResultSignature {
  std::string response_hash;  // 32 bytes, SHA-256 of the output.
  std::string response_signature;  // 65 bytes r‖s‖v over SHA-256(request_id ‖ output ‖ timestamp).
  std::int64_t timestamp_seconds = 0;  // Unix time, the one that is signed in decimal digits.
  std::string signer_address;          // EIP-55 address of the node.
  std::string completion_validation;   // The attestation: a signed EIP-712 message as JSON text.
};

// The one final answer to a request: a signed result, or a failure (which carries no signature).
struct InferenceResponse {
  RequestId request_id;
  ModelId model;
  std::variant<InferenceResult, Failure> outcome;
  ResultSignature signature;  // Empty for a failure, and before signing.

  bool ok() const { return std::holds_alternative<InferenceResult>(outcome); }
  const InferenceResult& result() const { return std::get<InferenceResult>(outcome); }
  const Failure& failure() const { return std::get<Failure>(outcome); }
};

}  // namespace ncn::inference
