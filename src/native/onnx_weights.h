#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "native/executor_error.h"

namespace ncn::native {

// Weights that are not all numbers.
struct NanWeights {
  std::string name;
  std::uint64_t nan_count = 0;
  std::uint64_t count = 0;
};

// Bytes of a file beside the model: its name, offset and length, where 0 is all that follows. Empty
// when there are none.
using ExternalBytes =
    std::function<std::string_view(std::string_view, std::uint64_t, std::uint64_t)>;

// The first initializer of the graph with a NaN among its floats, of which a lone one is a constant
// and no weight. `model` is an ONNX file that ONNX Runtime has read; what is damaged is passed
// over.
std::optional<NanWeights> FindNan(std::string_view model, const ExternalBytes& external);

// InvalidModel when a model's file, or one beside it that it names, has such weights: they would
// make every answer so.
std::optional<ExecutorError> RefuseNan(const std::filesystem::path& file);

}  // namespace ncn::native
