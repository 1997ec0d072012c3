#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ncn::native {

// How many bytes at the start are whole characters of UTF-8; all of them when it is valid.
std::size_t ValidUtf8(std::string_view text);

// Appends a code point. Half of a surrogate pair becomes the three bytes that it would have.
void AppendUtf8(char32_t code_point, std::string& text);

// Takes the next character off the front; a byte that begins none stands for U+FFFD. Reads what
// AppendUtf8 writes.
char32_t TakeCharacter(std::string_view& text);

// `text` with every part that is not UTF-8, halves of surrogate pairs included, as U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace ncn::native
