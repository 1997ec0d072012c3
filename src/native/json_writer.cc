#include "native/json_writer.h"

#include <cmath>
#include <cstdio>

#include "native/utf8.h"

namespace ncn::native {
namespace {

// Outside of these, Python writes an exponent.
constexpr double kFixedMin = 1e-4, kFixedEnd = 1e16;

void AppendEscape(char32_t unit, std::string& json) {
  char escape[7];
  std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(unit));
  json += escape;
}

void AppendCharacter(char32_t character, std::string& json) {
  constexpr std::string_view kMeanings = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
  if (character < 0x80) {
    const std::size_t which = kMeanings.find(static_cast<char>(character));
    if (which != std::string_view::npos) {
      json.push_back('\\');
      json.push_back(kLetters[which]);
    } else if (character < 0x20 || character == 0x7F) {
      AppendEscape(character, json);
    } else {
      json.push_back(static_cast<char>(character));
    }
  } else if (character < 0x10000) {
    AppendEscape(character, json);
  } else {
    AppendEscape(0xD800 + ((character - 0x10000) >> 10), json);
    AppendEscape(0xDC00 + ((character - 0x10000) & 0x3FF), json);
  }
}

}  // namespace

void AppendJson(double value, std::string& json) {
  char digits[64];
  const double magnitude = std::fabs(value);
  const bool fixed = magnitude == 0 || (magnitude >= kFixedMin && magnitude < kFixedEnd);
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  const char* const end = std::to_chars(digits, digits + sizeof(digits), value, format).ptr;
  const std::string_view written(digits, static_cast<std::size_t>(end - digits));
  json += written;
  if (fixed && written.find('.') == std::string_view::npos) json += ".0";
}

void AppendJson(std::string_view text, std::string& json) {
  json.push_back('"');
  while (!text.empty()) AppendCharacter(TakeCharacter(text), json);
  json.push_back('"');
}

}  // namespace ncn::native
