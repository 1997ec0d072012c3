// Any text as an attestation, and any JSON as EIP-712 typed data: refused, or signed by its node.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "signing/address.h"
#include "signing/attestation.h"
#include "signing/eip712.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ncn::signing::Attestation;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<Attestation> attestation = ncn::signing::VerifyAttestation(text);
  if (attestation.ok()) {
    NCN_CHECK(ncn::signing::EthereumAddress::Parse(attestation->node).ok());
    NCN_CHECK(attestation->model_hash.size() == 64 && attestation->output_hash.size() == 64);
  } else {
    NCN_CHECK(attestation.status().message().size() < 4096);
  }
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_discarded()) {
    const absl::StatusOr<ncn::base::Digest> digest = ncn::signing::TypedDataDigest(json);
    NCN_CHECK(digest.ok() || absl::IsInvalidArgument(digest.status()));
    static_cast<void>(ncn::signing::ReadUint64(json).ok());
  }
  return 0;
}
