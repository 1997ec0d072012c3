#include "wire/text.h"

#include <algorithm>

#include "base/strings.h"
#include "base/utf8.h"

namespace ncn::wire {
namespace {

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n') || byte == 0x7F;
}

}  // namespace

std::string CleanText(std::string_view text, std::size_t bytes_max) {
  std::string clean;
  clean.reserve(std::min(text.size(), bytes_max));
  while (!text.empty()) {
    const std::size_t length = base::Utf8CharacterBytes(text);
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
