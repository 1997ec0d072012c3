#pragma once

#include <cstddef>
#include <string_view>

namespace ncn::base {

// Bytes of the UTF-8 character at the begin of `text`, which is not empty; 0 when there is no valid
// one. Overlong forms, surrogates and what lies beyond U+10FFFF are not valid.
std::size_t Utf8CharacterBytes(std::string_view text);

// Whether all of `text` is valid UTF-8.
bool IsUtf8(std::string_view text);

}  // namespace ncn::base
