#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "native/executor_error.h"
#include "native/question.h"

namespace ncn::native {

// Tensors as the JSON of the Open Inference Protocol (version 2, REST). Decodes what
// ncn_executor/open_inference.py decodes, with the same errors, and writes the same bytes.

inline constexpr std::string_view kOpenInferenceType = "application/json";
inline constexpr std::size_t kInputsMax = 4096;

// Reads a request, which is hostile; says where it is wrong when it is. UnsupportedModel for what
// only the generic executor reads: parameters, the binary extension, further datatypes.
Result<Question> DecodeOpenInference(std::string_view text);

// `labels` by the name of their output. InvalidInput when an output is not finite, which JSON
// cannot say.
Result<std::string> EncodeOpenInference(
    const std::vector<const Tensor*>& outputs,
    const std::map<std::string, std::vector<std::string>>& labels, const AnswerNames& names);

}  // namespace ncn::native
