#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ncn::base {

// Lower-case hexadecimal digits of `bytes`, without a prefix.
std::string HexEncode(std::string_view bytes);

// The bytes of hexadecimal `digits` (either case, an optional "0x" before them); empty optional
// when a character is no digit or their number is odd.
std::optional<std::string> HexDecode(std::string_view digits);

}  // namespace ncn::base
