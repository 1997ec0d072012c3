#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace ncn::native {

// What went wrong, in the words of a report; those of ncn_executor/errors.py.
enum class ErrorCode {
  kInvalidInput,
  kInputTooLarge,
  kInvalidModel,
  kUnsupportedModel,
  kInvalidManifest,
  kOutputTooLarge,
  kOutOfMemory,
  kAccessDenied,
  kInternal,
};
std::string_view Name(ErrorCode code);

// An error that reaches the caller as it is. Texts name fields, types, shapes and counts, never the
// values of an input: they end up in logs. Absent parts are empty.
struct ExecutorError {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string field;
  std::string expected;
  std::string found;
  std::string path;

  // One line, for stderr.
  std::string Describe() const;
};

// The caller's input cannot be used; the commonest error by far.
ExecutorError InvalidInput(std::string message, std::string field, std::string expected,
                           std::string found);
ExecutorError OutOfMemory();

// Whether a text of a framework says, in whatever words, that memory ran out.
bool SaysOutOfMemory(std::string_view text);

// The first `characters_max` characters of UTF-8 text.
std::string_view Head(std::string_view text, std::size_t characters_max);
// Characters of UTF-8 text.
std::size_t CountCharacters(std::string_view text);

// A value or a typed error; ASSIGN_OR_RETURN takes it.
template <typename T>
class [[nodiscard]] Result {
 public:
  // NOLINTBEGIN(google-explicit-constructor): so that either can be returned.
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(ExecutorError error) : content_(std::in_place_index<1>, std::move(error)) {}
  // NOLINTEND(google-explicit-constructor): see above.

  bool ok() const { return content_.index() == 0; }
  const ExecutorError& status() const& { return *std::get_if<1>(&content_); }
  ExecutorError status() && { return std::move(*std::get_if<1>(&content_)); }
  T& value() & { return *std::get_if<0>(&content_); }
  const T& value() const& { return *std::get_if<0>(&content_); }
  T value() && { return std::move(*std::get_if<0>(&content_)); }
  const T& operator*() const { return value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, ExecutorError> content_;
};

}  // namespace ncn::native
