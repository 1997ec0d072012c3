#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "native/executor_error.h"
#include "native/question.h"

namespace ncn::native {

// Tensors as a safetensors file. Decodes what ncn_executor/safetensors_codec.py decodes and writes
// the same bytes.

inline constexpr std::string_view kSafetensorsType = "application/x-safetensors";

// Reads a file, which is hostile: its tensors must cover it without gap or overlap. They refer to
// `file`, which outlives them.
Result<Question> DecodeSafetensors(std::string_view file);

// NaN and infinities pass unchanged; texts do not.
Result<std::string> EncodeSafetensors(const std::vector<const Tensor*>& outputs,
                                      const AnswerNames& names);

}  // namespace ncn::native
