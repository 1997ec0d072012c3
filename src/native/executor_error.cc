#include "native/executor_error.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace ncn::native {
namespace {

constexpr std::array<std::string_view, 6> kOutOfMemorySigns = {
    "can't allocate memory",     "cannot allocate memory", "not enough memory",
    "failed to allocate memory", "std::bad_alloc",         "unable to mmap",
};

bool Continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

std::string_view Name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidInput:
      return "INVALID_INPUT";
    case ErrorCode::kInputTooLarge:
      return "INPUT_TOO_LARGE";
    case ErrorCode::kInvalidModel:
      return "INVALID_MODEL";
    case ErrorCode::kUnsupportedModel:
      return "UNSUPPORTED_MODEL";
    case ErrorCode::kInvalidManifest:
      return "INVALID_MANIFEST";
    case ErrorCode::kOutputTooLarge:
      return "OUTPUT_TOO_LARGE";
    case ErrorCode::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case ErrorCode::kAccessDenied:
      return "ACCESS_DENIED";
    case ErrorCode::kInternal:
      break;
  }
  return "INTERNAL";
}

std::string ExecutorError::Describe() const {
  std::string text = std::string(Name(code)) + ": " + message;
  if (!field.empty()) text += " [" + field + "]";
  if (!expected.empty() || !found.empty()) {
    text += " (expected " + expected + ", found " + found + ")";
  }
  return text;
}

ExecutorError InvalidInput(std::string message, std::string field, std::string expected,
                           std::string found) {
  return {ErrorCode::kInvalidInput, std::move(message), std::move(field),
          std::move(expected),      std::move(found),   ""};
}

ExecutorError OutOfMemory() {
  return {.code = ErrorCode::kOutOfMemory,
          .message = "memory ran out: raise the memory limit, or send a smaller input"};
}

bool SaysOutOfMemory(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::any_of(kOutOfMemorySigns.begin(), kOutOfMemorySigns.end(),
                     [&](std::string_view sign) { return lower.find(sign) != std::string::npos; });
}

std::string_view Head(std::string_view text, std::size_t characters_max) {
  std::size_t at = 0;
  for (std::size_t seen = 0; at < text.size(); ++at) {
    if (!Continues(text[at]) && seen++ == characters_max) break;
  }
  return text.substr(0, at);
}

std::size_t CountCharacters(std::string_view text) {
  return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), Continues));
}

}  // namespace ncn::native
