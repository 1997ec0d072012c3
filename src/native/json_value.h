#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "native/executor_error.h"

namespace ncn::native {

inline constexpr std::size_t kJsonDepthMax = 64;

// A JSON value in 16 bytes, for requests are mostly numbers.
class JsonValue {
 public:
  using List = std::vector<JsonValue>;
  using Member = std::pair<std::string, JsonValue>;
  using Object = std::vector<Member>;  // In the order of the text; the last of a name counts.

  enum class Kind {
    kNull,
    kBool,
    kInteger,      // Within 64 bits with a sign.
    kUnsigned,     // Beyond that, within 64 bits without.
    kHugeInteger,  // Beyond both; its value is lost.
    kFloat,
    kText,
    kList,
    kObject
  };

  JsonValue() = default;
  explicit JsonValue(bool value) : content_(value) {}
  explicit JsonValue(std::int64_t value) : content_(value) {}
  explicit JsonValue(std::uint64_t value) : content_(value) {}
  explicit JsonValue(double value) : content_(value) {}
  explicit JsonValue(std::string value)
      : content_(std::make_unique<std::string>(std::move(value))) {}
  explicit JsonValue(List value) : content_(std::make_unique<List>(std::move(value))) {}
  explicit JsonValue(Object value) : content_(std::make_unique<Object>(std::move(value))) {}
  static JsonValue HugeInteger() {
    JsonValue value;
    value.content_ = Huge{};
    return value;
  }

  Kind kind() const { return static_cast<Kind>(content_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  // Each for its own kind only.
  bool boolean() const { return *std::get_if<bool>(&content_); }
  std::int64_t integer() const { return *std::get_if<std::int64_t>(&content_); }
  std::uint64_t unsigned_integer() const { return *std::get_if<std::uint64_t>(&content_); }
  double number() const { return *std::get_if<double>(&content_); }
  const std::string& text() const { return **std::get_if<std::unique_ptr<std::string>>(&content_); }
  const List& list() const { return **std::get_if<std::unique_ptr<List>>(&content_); }
  const Object& object() const { return **std::get_if<std::unique_ptr<Object>>(&content_); }

  // The member of an object; null when it has none of that name, or when this is no object.
  const JsonValue* Find(std::string_view name) const;
  // "an object", "a list" and so on, for messages; never the value.
  std::string_view Describe() const;

 private:
  struct Huge {};
  // In the order of Kind.
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, Huge, double,
               std::unique_ptr<std::string>, std::unique_ptr<List>, std::unique_ptr<Object>>
      content_;
};

// Reads a whole text. As Python's json does: NaN and infinities are numbers, an integer may have
// any size up to 4300 digits, half a surrogate pair is kept. An error names line and column, in
// characters. `text` is hostile.
Result<JsonValue> ParseJson(std::string_view text);

}  // namespace ncn::native
