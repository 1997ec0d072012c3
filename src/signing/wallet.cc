#include "signing/wallet.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>

#include <utility>

#include "base/status_macros.h"
#include "signing/recovery.h"
#include "signing/secret_key.h"

namespace ncn::signing {

Wallet::Wallet(std::unique_ptr<const SecretKey> key, const EthereumAddress& address)
    : key_(std::move(key)), address_(address) {}
Wallet::Wallet(Wallet&&) noexcept = default;
Wallet& Wallet::operator=(Wallet&&) noexcept = default;
Wallet::~Wallet() = default;

absl::StatusOr<Wallet> Wallet::FromSecret(std::unique_ptr<const SecretKey> key) {
  secp256k1_pubkey public_key;
  if (secp256k1_ec_pubkey_create(key->context(), &public_key, key->data()) != 1) {
    return absl::InternalError("the private key has no public key");
  }
  unsigned char serialized[65];
  std::size_t size = sizeof(serialized);
  secp256k1_ec_pubkey_serialize(key->context(), serialized, &size, &public_key,
                                SECP256K1_EC_UNCOMPRESSED);
  const EthereumAddress address =
      EthereumAddress::FromPublicKey({reinterpret_cast<const char*>(serialized) + 1, 64});
  return Wallet(std::move(key), address);
}

absl::StatusOr<Wallet> Wallet::FromPrivateKeyHex(std::string_view hex) {
  ASSIGN_OR_RETURN(std::unique_ptr<const SecretKey> key, SecretKey::FromHex(hex));
  return FromSecret(std::move(key));
}

absl::StatusOr<Wallet> Wallet::Generate() {
  ASSIGN_OR_RETURN(std::unique_ptr<const SecretKey> key, SecretKey::Generate());
  return FromSecret(std::move(key));
}

absl::StatusOr<std::string> Wallet::Sign(const base::Digest& digest) const {
  secp256k1_ecdsa_recoverable_signature signature;
  if (secp256k1_ecdsa_sign_recoverable(key_->context(), &signature, digest.data(), key_->data(),
                                       nullptr, nullptr) != 1) {
    return absl::FailedPreconditionError(
        "the wallet key is not in this process; a forked child cannot sign");
  }
  std::string bytes(65, '\0');
  int recovery_id = 0;
  secp256k1_ecdsa_recoverable_signature_serialize_compact(
      key_->context(), reinterpret_cast<unsigned char*>(bytes.data()), &recovery_id, &signature);
  bytes[64] = static_cast<char>(27 + recovery_id);
  const absl::StatusOr<EthereumAddress> signer = RecoverSigner(digest, bytes);
  if (!signer.ok() || *signer != address_) {
    return absl::InternalError(
        "a signature failed its own verification and was discarded; suspect the machine's memory");
  }
  return bytes;
}

}  // namespace ncn::signing
