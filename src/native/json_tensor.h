#pragma once

#include <optional>
#include <string>

#include "native/executor_error.h"
#include "native/json_value.h"
#include "native/tensor.h"

namespace ncn::native {

// Fills `tensor`, whose datatype and shape are set, with the elements of `data`: a flat list, or
// lists nested like the shape. No value changes, but for rounding to a float type. An error names
// `field`.
std::optional<ExecutorError> FillFromJson(const std::string& field, const JsonValue& data,
                                          Tensor& tensor);

}  // namespace ncn::native
