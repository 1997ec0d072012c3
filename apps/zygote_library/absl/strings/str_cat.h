#pragma once

// As ../status/status.h.

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace absl {
namespace internal {

template <typename T>
void Append(std::string& text, const T& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    text += std::to_string(value);
  } else {
    text += std::string_view(value);
  }
}

}  // namespace internal

template <typename... T>
std::string StrCat(const T&... values) {
  std::string text;
  (internal::Append(text, values), ...);
  return text;
}

}  // namespace absl
