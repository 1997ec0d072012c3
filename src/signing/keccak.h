#pragma once

#include <string_view>

#include "base/sha256.h"

namespace ncn::signing {

// Keccak-256 as Ethereum uses it: the original padding, which is not that of SHA3-256.
base::Digest Keccak256(std::string_view bytes);

}  // namespace ncn::signing
