#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "signing/address.h"
#include "signing/wallet.h"

namespace ncn::signing {

// Bounds of a challenge's nonce; 32 random bytes are what a gateway should send.
inline constexpr std::size_t kNonceBytesMin = 16;
inline constexpr std::size_t kNonceBytesMax = 64;

// Proof of the wallet at the start of a session: the signature of the EIP-712 message
// "SessionProof" (nonce, gateway, protocolVersion) in the domain of typed_message.h. What it signs
// begins with 19 01 and is hashed by Keccak, so it is never a result, payment or transaction.
// `gateway` is the address by which the node reached the gateway: a gateway that passes a challenge
// on to a node gets an answer that is good for itself only. InvalidArgument for a nonce or gateway
// out of bounds.
absl::StatusOr<std::string> SignChallenge(const Wallet& wallet, std::string_view nonce,
                                          std::string_view gateway, std::uint32_t protocol_version);

// Who signed the challenge. Any well-formed signature recovers to some address: the caller compares
// it with the one that the node claims.
absl::StatusOr<EthereumAddress> VerifyChallenge(std::string_view nonce, std::string_view gateway,
                                                std::uint32_t protocol_version,
                                                std::string_view signature);

}  // namespace ncn::signing
