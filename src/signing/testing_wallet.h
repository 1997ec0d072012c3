#pragma once

#include "base/check.h"
#include "signing/wallet.h"

namespace ncn::signing {

// Keys of tests; golden values were made with the first one by ethers 6.17.0.
inline constexpr char kTestKey[] =
    "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
inline constexpr char kTestAddress[] = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";

inline Wallet TestWallet() {
  absl::StatusOr<Wallet> wallet = Wallet::FromPrivateKeyHex(kTestKey);
  NCN_CHECK(wallet.ok());
  return *std::move(wallet);
}

}  // namespace ncn::signing
