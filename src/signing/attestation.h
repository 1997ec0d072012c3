#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/inference_response.h"
#include "signing/address.h"
#include "signing/wallet.h"

namespace ncn::signing {

// What a node swears to about one result. On the wire it is the JSON text of an EIP-712 typed
// message, {"domain", "types", "primaryType", "message", "signature"}, as wallets and ethers'
// verifyTypedData take it; the domain is that of typed_message.h, the primary type "Attestation".
// 64-bit numbers are decimal strings there, for JSON's own lose bits in many readers.
struct Attestation {
  std::string request_id;
  std::string model;
  std::string model_hash;  // 64 lower-case hex digits, as the other hashes; 64 zeros: unknown.
  std::string executor;
  std::string executor_hash;
  std::string image_digest;  // "sha256:…"; empty without an image.
  std::string input_hash;
  std::string output_hash;
  std::string output_content_type;
  std::string sandbox_mode;
  std::string isolation;
  std::string policy_hash;
  std::vector<std::string> layers;
  std::uint64_t cpu_micros = 0;
  std::uint64_t wall_micros = 0;
  std::uint64_t peak_memory_bytes = 0;
  std::uint64_t started_at_millis = 0;   // Unix time.
  std::uint64_t finished_at_millis = 0;  // Unix time.
  std::uint64_t timestamp_seconds = 0;   // Unix time; the one in response_signature.
  std::string node;                      // EIP-55 address.
};

// The largest JSON text that is made or read.
inline constexpr std::size_t kAttestationBytesMax = 64 * 1024;

// Makes the signed JSON text; `attestation.node` is set to the wallet's address. InvalidArgument
// names the field that cannot be attested.
absl::StatusOr<std::string> SignAttestation(const Wallet& wallet, Attestation attestation);

// Reads and verifies JSON text from anybody: its domain and types must be exactly ours, and its
// signature must recover to its own `node`. The result holds only what was signed.
absl::StatusOr<Attestation> VerifyAttestation(std::string_view text);

}  // namespace ncn::signing
