#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "native/json_value.h"
#include "native/utf8.h"

namespace ncn::native {
namespace {

constexpr std::size_t kIntegerDigitsMax = 4300;
constexpr std::size_t kListRoomMax = 4096;
constexpr std::size_t kMantissaDigitsMax = 19;  // They fit 64 bits.
constexpr std::uint64_t kExactMax = std::uint64_t{1} << 53;
constexpr std::array<double, kMantissaDigitsMax + 1> kPowersOfTen = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

ExecutorError TooDeep() {
  return InvalidInput("the request is nested too deeply", "depth",
                      "at most " + std::to_string(kJsonDepthMax) + " levels", "more");
}

// Recursive descent, kJsonDepthMax deep at most. Functions return false after they set `error_`.
class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Result<JsonValue> Parse() {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") {
      Fail("Unexpected UTF-8 BOM (decode using utf-8-sig)", 0);
      return std::move(*error_);
    }
    JsonValue value;
    SkipSpace();
    if (!Value(value, 0)) return std::move(*error_);
    SkipSpace();
    if (at_ == text_.size()) return value;
    Fail("Extra data", at_);
    return std::move(*error_);
  }

 private:
  bool Fail(const std::string& what, std::size_t at) {
    const std::string_view before = text_.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_start = before.rfind('\n') + 1;  // 0 when there is none.
    const std::size_t column = 1 + CountCharacters(before.substr(line_start));
    const std::string place = "line " + std::to_string(line) + ", column " + std::to_string(column);
    error_ = InvalidInput("malformed JSON in " + place + ": " + what, place, "JSON", what);
    return false;
  }

  char Next() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void SkipSpace() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }

  bool Take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool Value(JsonValue& value, std::size_t depth) {
    switch (Next()) {
      case '"': {
        std::string text;
        if (!Text(text)) return false;
        value = JsonValue(std::move(text));
        return true;
      }
      case '{':
      case '[':
        if (depth == kJsonDepthMax) {
          error_ = TooDeep();
          return false;
        }
        return Next() == '{' ? Object(value, depth + 1) : List(value, depth + 1);
      case 't':
      case 'f':
      case 'n':
      case 'N':
      case 'I':
      case '-':
        return Word(value) || Number(value);
      default:
        return Number(value);
    }
  }

  bool Word(JsonValue& value) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (Take("true")) {
      value = JsonValue(true);
    } else if (Take("false")) {
      value = JsonValue(false);
    } else if (Take("NaN")) {
      value = JsonValue(std::numeric_limits<double>::quiet_NaN());
    } else if (Take("Infinity")) {
      value = JsonValue(kInfinity);
    } else if (Take("-Infinity")) {
      value = JsonValue(-kInfinity);
    } else if (Take("null")) {
      value = JsonValue();
    } else {
      return false;
    }
    return true;
  }

  bool Number(JsonValue& value) {
    const std::size_t start = at_;
    std::size_t end = at_ + (Next() == '-' ? 1 : 0);
    std::uint64_t mantissa = 0;  // Of no use with more than kMantissaDigitsMax digits.
    const auto digits = [&] {
      const std::size_t first = end;
      for (; end < text_.size() && IsDigit(text_[end]); ++end) {
        mantissa = 10 * mantissa + static_cast<std::uint64_t>(text_[end] - '0');
      }
      return end - first;
    };
    const std::size_t first_digit = end;
    if (end < text_.size() && text_[end] == '0') {
      ++end;
    } else if (digits() == 0) {
      return Fail("Expecting value", start);
    }
    const std::size_t integer_end = end;
    std::size_t decimals = 0;
    if (end + 1 < text_.size() && text_[end] == '.' && IsDigit(text_[end + 1])) {
      ++end;
      decimals = digits();
    }
    const std::size_t mantissa_end = end;
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      ++end;
      if (end < text_.size() && (text_[end] == '-' || text_[end] == '+')) ++end;
      if (digits() == 0) end = mantissa_end;
    }
    at_ = end;
    const std::string_view number = text_.substr(start, end - start);
    const std::size_t integer_digits = integer_end - first_digit;
    if (end == integer_end) return Integer(number, integer_digits, value);
    if (end == mantissa_end && integer_digits + decimals <= kMantissaDigitsMax &&
        mantissa <= kExactMax) {
      // Both are exact as doubles, so their quotient is rounded once (Clinger, "How to Read
      // Floating Point Numbers Accurately", PLDI 1990).
      const double magnitude = static_cast<double>(mantissa) / kPowersOfTen[decimals];
      value = JsonValue(number.front() == '-' ? -magnitude : magnitude);
    } else {
      value = JsonValue(Float(number));
    }
    return true;
  }

  bool Integer(std::string_view number, std::size_t digits, JsonValue& value) {
    const char* const end = number.data() + number.size();
    std::int64_t with_sign = 0;
    std::uint64_t without = 0;
    if (std::from_chars(number.data(), end, with_sign).ec == std::errc()) {
      value = JsonValue(with_sign);
    } else if (number.front() != '-' &&
               std::from_chars(number.data(), end, without).ec == std::errc()) {
      value = JsonValue(without);
    } else if (digits > kIntegerDigitsMax) {
      error_ = InvalidInput("a number in the request is too long", "", "64 bits", "more");
      return false;
    } else {
      value = JsonValue::HugeInteger();
    }
    return true;
  }

  static double Float(std::string_view number) {
    double value = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
    if (read.ec == std::errc()) return value;
    // Beyond the range of a double, where from_chars says nothing of which end.
    return std::strtod(std::string(number).c_str(), nullptr);
  }

  bool List(JsonValue& value, std::size_t depth) {
    JsonValue::List list;
    ++at_;
    SkipSpace();
    if (Take("]")) {
      value = JsonValue(std::move(list));
      return true;
    }
    list.reserve(RoomForList());
    for (;;) {
      if (!Value(list.emplace_back(), depth)) return false;
      SkipSpace();
      if (Take("]")) break;
      const std::size_t comma = at_;
      if (!Take(",")) return Fail("Expecting ',' delimiter", at_);
      SkipSpace();
      if (Next() == ']') return Fail("Illegal trailing comma before end of array", comma);
    }
    value = JsonValue(std::move(list));
    return true;
  }

  // As many elements as fit before the next list's end, so that a list of numbers need not move
  // while it grows: memory that is touched once costs more than what it holds.
  std::size_t RoomForList() const {
    const std::size_t end = text_.substr(at_, 2 * kListRoomMax).find(']');
    return end == std::string_view::npos ? kListRoomMax : end / 2 + 1;
  }

  bool Object(JsonValue& value, std::size_t depth) {
    JsonValue::Object object;
    ++at_;
    SkipSpace();
    if (Take("}")) {
      value = JsonValue(std::move(object));
      return true;
    }
    for (;;) {
      if (Next() != '"') return Fail("Expecting property name enclosed in double quotes", at_);
      JsonValue::Member& member = object.emplace_back();
      if (!Text(member.first)) return false;
      SkipSpace();
      if (!Take(":")) return Fail("Expecting ':' delimiter", at_);
      SkipSpace();
      if (!Value(member.second, depth)) return false;
      SkipSpace();
      if (Take("}")) break;
      const std::size_t comma = at_;
      if (!Take(",")) return Fail("Expecting ',' delimiter", at_);
      SkipSpace();
      if (Next() == '}') return Fail("Illegal trailing comma before end of object", comma);
    }
    value = JsonValue(std::move(object));
    return true;
  }

  bool Text(std::string& text) {
    const std::size_t begin = at_++;
    for (;;) {
      const std::size_t plain = at_;
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
             static_cast<unsigned char>(text_[at_]) >= 0x20) {
        ++at_;
      }
      text.append(text_.substr(plain, at_ - plain));
      if (at_ == text_.size()) return Fail("Unterminated string starting at", begin);
      const char c = text_[at_];
      if (c == '"') break;
      if (c != '\\') return Fail("Invalid control character at", at_);
      if (at_ + 1 == text_.size()) return Fail("Unterminated string starting at", begin);
      if (!Escape(text)) return false;
    }
    ++at_;
    return true;
  }

  bool Escape(std::string& text) {
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const std::size_t start = at_;
    const char letter = text_[at_ + 1];
    at_ += 2;
    if (letter == 'u') {
      std::optional<char32_t> unit = CodeUnit();
      if (!unit) return Fail("Invalid \\uXXXX escape", start + 1);
      if (*unit >= 0xD800 && *unit < 0xDC00 && Take("\\u")) {
        const std::size_t after = at_;
        const auto low = CodeUnit();
        if (!low) return Fail("Invalid \\uXXXX escape", after - 1);
        if (*low >= 0xDC00 && *low < 0xE000) {
          unit = 0x10000 + ((*unit - 0xD800) << 10) + (*low - 0xDC00);
        } else {
          at_ = after - 2;  // Another character.
        }
      }
      AppendUtf8(*unit, text);
      return true;
    }
    const std::size_t which = kLetters.find(letter);
    if (which == std::string_view::npos) return Fail("Invalid \\escape", start);
    text.push_back(kMeanings[which]);
    return true;
  }

  // The four hexadecimal digits of an escape.
  std::optional<char32_t> CodeUnit() {
    const std::string_view digits = text_.substr(at_, 4);
    std::uint32_t unit = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
    if (digits.size() < 4 || read.ptr != digits.data() + 4) return std::nullopt;
    at_ += 4;
    return static_cast<char32_t>(unit);
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::optional<ExecutorError> error_;
};

}  // namespace

Result<JsonValue> ParseJson(std::string_view text) {
  const std::size_t valid = ValidUtf8(text);
  if (valid < text.size()) {
    return InvalidInput("the request is not UTF-8", "", "UTF-8", "byte " + std::to_string(valid));
  }
  return JsonParser(text).Parse();
}

}  // namespace ncn::native
