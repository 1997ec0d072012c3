#include "reference/node_authority.h"

#include <sys/random.h>

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"
#include "signing/address.h"
#include "signing/session_proof.h"

namespace ncn::reference {

std::string RandomBytes() {
  std::string bytes(32, '\0');
  // Up to 256 bytes come at once and are never interrupted (getrandom(2)).
  NCN_CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return bytes;
}

wire::Challenge NodeAuthority::NewChallenge() const {
  return {.nonce = RandomBytes(), .gateway = names_.empty() ? "reference-gateway" : names_.front()};
}

absl::Status NodeAuthority::Verify(std::string_view nonce, std::string_view authority,
                                   std::uint32_t protocol_version, std::string_view address,
                                   std::string_view proof) const {
  if (protocol_version != wire::kProtocolVersion) {
    return absl::FailedPreconditionError(base::StrCat("the node speaks version ", protocol_version,
                                                      " of the protocol, this server version ",
                                                      wire::kProtocolVersion));
  }
  if (!names_.empty() && std::find(names_.begin(), names_.end(), authority) == names_.end()) {
    return absl::UnauthenticatedError(
        base::StrCat("this server is not known as '", authority,
                     "'; connect by one of its own names, or add this one to them"));
  }
  const auto claimed = signing::EthereumAddress::Parse(address);
  if (!claimed.ok()) return absl::UnauthenticatedError(claimed.status().message());
  const auto signer = signing::VerifyChallenge(nonce, authority, protocol_version, proof);
  if (!signer.ok()) return absl::UnauthenticatedError(signer.status().message());
  if (*signer != *claimed) {
    return absl::UnauthenticatedError(
        base::StrCat("the proof was not made by the wallet ", claimed->ToString()));
  }
  return absl::OkStatus();
}

}  // namespace ncn::reference
