#pragma once

#include <optional>
#include <string>
#include <vector>

#include "native/executor_error.h"
#include "native/tensor.h"

namespace ncn::native {

// What a model takes, as its manifest or itself declares it. A dimension of -1 is any, no shape at
// all any rank.
struct InputSpec {
  std::string name;
  Datatype datatype = Datatype::kFp32;
  std::optional<Shape> shape;
  bool allow_non_finite = false;
};

// Refuses tensors that a model does not declare; otherwise puts them into the model's order. With
// no declaration at all they stay as they are.
std::optional<ExecutorError> CheckInputs(const std::vector<InputSpec>& specs,
                                         std::vector<Tensor>& tensors);

// Names for a message, no more than 16 of them.
std::string JoinNames(const std::vector<std::string_view>& names);

}  // namespace ncn::native
