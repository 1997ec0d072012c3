#pragma once

// As ../status/status.h.

#include <string_view>

namespace absl {

using std::string_view;

}  // namespace absl
