#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/sha256.h"

namespace ncn::signing {

// The 32-byte big-endian word (two's complement below zero) of a JSON integer, or of a text of
// decimal digits with an optional minus or of "0x" and hexadecimal digits. `bits` and `is_signed`
// are those of the Solidity type. InvalidArgument when it is no such number or out of range.
absl::StatusOr<base::Digest> IntegerWord(const nlohmann::json& value, int bits, bool is_signed);

}  // namespace ncn::signing
