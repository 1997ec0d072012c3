#include "native/utf8.h"

#include <cstdint>
#include <cstring>

namespace ncn::native {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

bool IsSurrogate(char32_t c) { return c >= 0xD800 && c < 0xE000; }

// The character at the start of `text` and its bytes; 0 bytes when there is none.
std::size_t Read(std::string_view text, char32_t& character) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  constexpr char32_t kLeadBits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  character = lead & kLeadBits[length];
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    character = (character << 6) | (byte(i) & 0x3F);
  }
  return character < kSmallest[length] || character > 0x10FFFF ? 0 : length;
}

}  // namespace

std::size_t ValidUtf8(std::string_view text) {
  constexpr std::uint64_t kHighBits = 0x8080'8080'8080'8080;
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t eight = 0;
    if (at + sizeof(eight) <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof(eight));
      if ((eight & kHighBits) == 0) {
        at += sizeof(eight);
        continue;
      }
    }
    char32_t character = 0;
    const std::size_t length = Read(text.substr(at), character);
    if (length == 0 || IsSurrogate(character)) return at;
    at += length;
  }
  return at;
}

void AppendUtf8(char32_t code_point, std::string& text) {
  const auto put = [&](char32_t bits) { text.push_back(static_cast<char>(bits)); };
  const auto continuation = [&](int shift) { put(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
  } else {
    if (code_point < 0x10000) {
      put(0xE0 | (code_point >> 12));
    } else {
      put(0xF0 | (code_point >> 18));
      continuation(12);
    }
    continuation(6);
  }
  continuation(0);
}

char32_t TakeCharacter(std::string_view& text) {
  char32_t character = kReplacement;
  const std::size_t length = Read(text, character);
  text.remove_prefix(length == 0 ? 1 : length);
  return length == 0 ? kReplacement : character;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const char32_t character = TakeCharacter(text);
    AppendUtf8(IsSurrogate(character) ? kReplacement : character, valid);
  }
  return valid;
}

}  // namespace ncn::native
