// Requests to the native executor, in both forms. What is decoded can be written and read again.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "native/input_check.h"
#include "native/open_inference.h"
#include "native/payload.h"
#include "native/safetensors.h"

namespace {

using ncn::native::Decode;
using ncn::native::Encode;
using ncn::native::Question;
using ncn::native::Tensor;

void CheckTensor(const Tensor& tensor) {
  const auto count = ncn::native::CountElements(tensor.shape, UINT64_MAX);
  const std::size_t size = ncn::native::SizeOf(tensor.datatype);
  if (!count || (size == 0 ? tensor.texts.size() : tensor.bytes.size() / size) != *count) {
    std::abort();
  }
}

void TryForm(std::string_view data, std::string_view form) {
  auto question = Decode(data, form);
  if (!question.ok()) {
    if (question.status().message.empty()) std::abort();
    return;
  }
  for (const Tensor& tensor : question->tensors) CheckTensor(tensor);
  const Question all;
  const auto written = Encode(question->tensors, all, form, {}, {"m", "1", question->identifier});
  if (written.ok() && form == ncn::native::kSafetensorsType) {
    const auto again = Decode(*written, form);
    if (!again.ok() || again->tensors.size() != question->tensors.size()) std::abort();
  }
  (void)ncn::native::CheckInputs({{.name = "x", .shape = ncn::native::Shape{-1}}},
                                 question.value().tensors);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  TryForm(bytes, ncn::native::kOpenInferenceType);
  TryForm(bytes, ncn::native::kSafetensorsType);
  return 0;
}
