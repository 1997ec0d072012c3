#include "signing/recovery.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>

#include "base/strings.h"

namespace ncn::signing {

absl::StatusOr<EthereumAddress> RecoverSigner(const base::Digest& digest,
                                              std::string_view signature) {
  if (signature.size() != 65) {
    return absl::InvalidArgumentError(
        base::StrCat("the signature has ", signature.size(), " bytes instead of 65 (r, s, v)"));
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
  const int v = bytes[64];
  if (v != 27 && v != 28) {
    return absl::InvalidArgumentError(
        base::StrCat("the signature ends in v = ", v, " instead of 27 or 28"));
  }
  const secp256k1_context* context = secp256k1_context_static;
  secp256k1_ecdsa_recoverable_signature recoverable;
  if (secp256k1_ecdsa_recoverable_signature_parse_compact(context, &recoverable, bytes, v - 27) !=
      1) {
    return absl::InvalidArgumentError("the signature's r or s is not below the group order");
  }
  secp256k1_ecdsa_signature plain;
  secp256k1_ecdsa_recoverable_signature_convert(context, &plain, &recoverable);
  if (secp256k1_ecdsa_signature_normalize(context, nullptr, &plain) != 0) {
    return absl::InvalidArgumentError(
        "the signature has a high s, which is not its canonical form");
  }
  secp256k1_pubkey key;
  if (secp256k1_ecdsa_recover(context, &key, &recoverable, digest.data()) != 1) {
    return absl::InvalidArgumentError("the signature belongs to no public key");
  }
  unsigned char serialized[65];
  std::size_t size = sizeof(serialized);
  secp256k1_ec_pubkey_serialize(context, serialized, &size, &key, SECP256K1_EC_UNCOMPRESSED);
  return EthereumAddress::FromPublicKey({reinterpret_cast<const char*>(serialized) + 1, 64});
}

}  // namespace ncn::signing
