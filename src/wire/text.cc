#include "wire/text.h"

#include <algorithm>

#include "base/strings.h"

namespace ncn::wire {
namespace {

// Length of the UTF-8 character at the begin of `text`, 0 when there is no valid one. Overlong
// forms, surrogates and what lies beyond U+10FFFF are not valid.
std::size_t CharacterLength(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool bad = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                   (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return bad ? 0 : length;
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n') || byte == 0x7F;
}

}  // namespace

std::string CleanText(std::string_view text, std::size_t bytes_max) {
  std::string clean;
  clean.reserve(std::min(text.size(), bytes_max));
  while (!text.empty()) {
    const std::size_t length = CharacterLength(text);
    const bool keep = length > 1 || (length == 1 && !IsControl(text.front()));
    const std::size_t taken = std::max<std::size_t>(length, 1);
    if (clean.size() + (keep ? taken : 1) > bytes_max) break;
    if (keep) {
      clean.append(text.substr(0, taken));
    } else {
      clean.push_back('?');
    }
    text.remove_prefix(taken);
  }
  return clean;
}

absl::Status CheckText(std::string_view field, std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat(field, " has ", text.size(), " bytes; at most ", bytes_max, " are allowed"));
}

}  // namespace ncn::wire
