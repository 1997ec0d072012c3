#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "native/executor_error.h"
#include "native/onnx_runtime.h"
#include "native/tensor.h"

namespace ncn::native {

// One loaded model. Made in the process that uses it: its threads survive no fork. Not thread-safe.
class OnnxSession {
 public:
  // A tensor that a model takes or gives, as it declares it. A dimension of -1 is any, no shape at
  // all any rank: of a number without dimensions, ONNX Runtime says the same.
  struct Node {
    std::string name;
    Datatype datatype = Datatype::kFp32;
    std::optional<Shape> shape;
  };
  // Tensors that refer to memory of ONNX Runtime.
  struct Outputs {
    std::vector<Tensor> tensors;
    std::vector<OrtOwned<OrtValue>> values;
  };

  // UnsupportedModel for a sound file that needs operators or types that are not to be had here;
  // InvalidModel for any other that makes no session.
  static Result<OnnxSession> Load(const OnnxRuntime& runtime, const std::filesystem::path& model,
                                  std::uint32_t threads);

  const std::vector<Node>& inputs() const { return inputs_; }
  const std::vector<Node>& outputs() const { return outputs_; }

  // Computes every output, in the model's order. When the model fails on these inputs, the code is
  // InvalidModel and the message ONNX Runtime's.
  Result<Outputs> Run(const std::vector<Tensor>& inputs) const;

 private:
  OnnxSession(const OnnxRuntime& runtime, OrtOwned<OrtSession> session,
              OrtOwned<OrtMemoryInfo> memory)
      : runtime_(&runtime), session_(std::move(session)), memory_(std::move(memory)) {}

  Result<std::vector<Node>> Describe(bool inputs) const;
  Result<Node> DescribeOne(bool input, std::size_t index) const;
  absl::StatusOr<OrtOwned<OrtValue>> ToValue(const Tensor& tensor) const;
  absl::StatusOr<OrtOwned<OrtValue>> ToTexts(const Tensor& tensor) const;
  absl::StatusOr<Tensor> ToTensor(const Node& node, OrtValue& value) const;
  absl::Status ReadTexts(const OrtValue& value, std::size_t count, Tensor& tensor) const;

  const OnnxRuntime* runtime_;
  OrtOwned<OrtSession> session_;
  OrtOwned<OrtMemoryInfo> memory_;
  std::vector<Node> inputs_;
  std::vector<Node> outputs_;
};

}  // namespace ncn::native
