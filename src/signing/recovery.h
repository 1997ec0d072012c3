#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "base/sha256.h"
#include "signing/address.h"

namespace ncn::signing {

// Who signed `digest`. `signature` is 65 bytes r‖s‖v as Wallet::Sign makes them; high s and other v
// are refused, so that each signature has one form only. Any well-formed signature recovers to some
// address: the caller compares. InvalidArgument says what is malformed. Thread-safe.
absl::StatusOr<EthereumAddress> RecoverSigner(const base::Digest& digest,
                                              std::string_view signature);

}  // namespace ncn::signing
