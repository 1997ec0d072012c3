#pragma once

#include <string>
#include <vector>

#include "native/tensor.h"

namespace ncn::native {

// What a decoded request asks.
struct Question {
  std::vector<Tensor> tensors;       // In the order given; names are unique.
  std::string identifier;            // The caller's id for the request; may be empty.
  std::vector<std::string> outputs;  // The names wanted; empty means all.
};

// What an answer says beside its tensors.
struct AnswerNames {
  std::string model_name;
  std::string model_version;
  std::string identifier;
};

}  // namespace ncn::native
