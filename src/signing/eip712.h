#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/sha256.h"

namespace ncn::signing {

// The digest that EIP-712 signs for typed data, an object with "domain", "types", "primaryType" and
// "message": Keccak256(19 01 ‖ hashStruct(domain) ‖ hashStruct(message)). Takes every type of the
// standard: string, bytes, bytesN, bool, address, intN, uintN, structs, arrays of fixed and of any
// length. Numbers may be JSON integers, decimal or 0x texts. "types" may contain EIP712Domain.
//
// The input may be hostile: depth and the number of types and fields are bounded, and whatever
// would leave part of the message unsigned (an unknown key) or doubtful (a missing one, a number
// out of range, a float) is an InvalidArgument that names its path. Thread-safe.
absl::StatusOr<base::Digest> TypedDataDigest(const nlohmann::json& typed_data);

// An unsigned number of at most 64 bits in any of the forms above.
absl::StatusOr<std::uint64_t> ReadUint64(const nlohmann::json& value);

}  // namespace ncn::signing
