#pragma once

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

namespace ncn::native {

// JSON as Python's json writes it, byte for byte, so that a model's answer does not depend on which
// executor gave it.

// A finite number: the shortest digits that read back to the same bits, as Python's repr has them.
void AppendJson(double value, std::string& json);
// A text in quotes and in ASCII.
void AppendJson(std::string_view text, std::string& json);
inline void AppendJson(bool value, std::string& json) { json += value ? "true" : "false"; }
template <std::integral T>
requires(!std::same_as<T, bool>) void AppendJson(T value, std::string& json) {
  char digits[24];
  json.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

}  // namespace ncn::native
