#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "wire/session_messages.h"

namespace ncn::reference {

// Checks that a node is who it says it is. Immutable; thread-safe.
class NodeAuthority {
 public:
  // `names`: the authorities (host:port) by which nodes reach this gateway. A proof for any other
  // was made for somebody else, who passes it on. Empty: whatever name the node used counts, which
  // leaves out that protection; for gateways whose names are not known.
  explicit NodeAuthority(std::vector<std::string> names) : names_(std::move(names)) {}

  // A challenge with a new random nonce.
  wire::Challenge NewChallenge() const;

  // Unauthenticated when `proof` does not show that the holder of `address` answered `nonce` for
  // `authority`; FailedPrecondition for another version of the protocol.
  absl::Status Verify(std::string_view nonce, std::string_view authority,
                      std::uint32_t protocol_version, std::string_view address,
                      std::string_view proof) const;

 private:
  const std::vector<std::string> names_;
};

// 32 random bytes from the kernel.
std::string RandomBytes();

}  // namespace ncn::reference
