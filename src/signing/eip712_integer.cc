#include "signing/eip712_integer.h"

#include <algorithm>
#include <string>

#include "base/strings.h"

namespace ncn::signing {
namespace {

constexpr std::size_t kTextBytesMax = 80;  // 2^256 has 78 digits.

absl::Status OutOfRange(int bits, bool is_signed) {
  return absl::InvalidArgumentError(
      base::StrCat("is out of the range of ", is_signed ? "int" : "uint", bits));
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

// word = word * base + digit; whether it still fits.
bool Append(base::Digest& word, int base, int digit) {
  int carry = digit;
  for (std::size_t i = word.size(); i-- > 0;) {
    const int value = word[i] * base + carry;
    word[i] = static_cast<unsigned char>(value & 0xff);
    carry = value >> 8;
  }
  return carry == 0;
}

// The number of significant bits.
int BitLength(const base::Digest& word) {
  for (std::size_t i = 0; i < word.size(); ++i) {
    for (int bit = 7; bit >= 0; --bit) {
      if ((word[i] >> bit) & 1) return static_cast<int>(word.size() - 1 - i) * 8 + bit + 1;
    }
  }
  return 0;
}

bool IsPowerOfTwo(const base::Digest& word) {
  return std::count(word.begin(), word.end(), 0) == static_cast<long>(word.size()) - 1 &&
         std::all_of(word.begin(), word.end(), [](unsigned char b) { return (b & (b - 1)) == 0; });
}

void Negate(base::Digest& word) {
  int carry = 1;
  for (std::size_t i = word.size(); i-- > 0;) {
    const int value = (~word[i] & 0xff) + carry;
    word[i] = static_cast<unsigned char>(value & 0xff);
    carry = value >> 8;
  }
}

}  // namespace

absl::StatusOr<base::Digest> IntegerWord(const nlohmann::json& value, int bits, bool is_signed) {
  std::string text;
  if (value.is_number_unsigned()) {
    text = std::to_string(value.get<std::uint64_t>());
  } else if (value.is_number_integer()) {
    text = std::to_string(value.get<std::int64_t>());
  } else if (value.is_string() && value.get_ref<const std::string&>().size() <= kTextBytesMax) {
    text = value.get_ref<const std::string&>();
  }
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative) digits.remove_prefix(1);
  const int base = digits.starts_with("0x") ? 16 : 10;
  if (base == 16) digits.remove_prefix(2);
  if (digits.empty()) return absl::InvalidArgumentError("is not a whole number");

  base::Digest word{};
  for (const char c : digits) {
    const int digit = DigitValue(c);
    if (digit >= base) return absl::InvalidArgumentError("is not a whole number");
    if (!Append(word, base, digit)) return OutOfRange(bits, is_signed);
  }
  const int length = BitLength(word);
  if (!negative) {
    return length > bits - (is_signed ? 1 : 0) ? OutOfRange(bits, is_signed)
                                               : absl::StatusOr<base::Digest>(word);
  }
  const bool fits = length < bits || (length == bits && IsPowerOfTwo(word));
  if (length > 0 && (!is_signed || !fits)) return OutOfRange(bits, is_signed);
  Negate(word);
  return word;
}

}  // namespace ncn::signing
