#include "native/input_check.h"

#include <algorithm>

namespace ncn::native {
namespace {

constexpr std::size_t kNamesMax = 16;
constexpr std::size_t kNameCharactersMax = 80;

template <typename Named>
std::string NamesOf(const std::vector<Named>& all) {
  std::vector<std::string_view> names;
  for (const Named& one : all) names.push_back(one.name);
  return JoinNames(names);
}

std::optional<ExecutorError> CheckValues(const Tensor& tensor, bool allow_non_finite) {
  const std::string name(Head(tensor.name, kNameCharactersMax));
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) {
    return InvalidInput("the input '" + name + "' has no elements", "inputs." + name + ".shape",
                        "at least one element", ShapeText(tensor.shape));
  }
  const std::string_view found = allow_non_finite ? "" : FirstNonFinite(tensor);
  if (found.empty()) return std::nullopt;
  return InvalidInput("the input '" + name + "' holds a number that is not finite",
                      "inputs." + name + ".data",
                      "finite numbers (a model that takes others says so with allow_non_finite = "
                      "true in its model.toml)",
                      std::string(found));
}

std::optional<ExecutorError> CheckTensor(const Tensor& tensor, const InputSpec& spec) {
  const std::string field = "inputs." + spec.name;
  if (tensor.datatype != spec.datatype) {
    return InvalidInput("the input '" + spec.name + "' has the wrong datatype", field + ".datatype",
                        std::string(Name(spec.datatype)), std::string(Name(tensor.datatype)));
  }
  const bool fits = std::equal(
      spec.shape.begin(), spec.shape.end(), tensor.shape.begin(), tensor.shape.end(),
      [](std::int64_t wanted, std::int64_t found) { return wanted == -1 || wanted == found; });
  if (!fits) {
    return InvalidInput("the input '" + spec.name + "' has the wrong shape", field + ".shape",
                        ShapeText(spec.shape), ShapeText(tensor.shape));
  }
  return CheckValues(tensor, spec.allow_non_finite);
}

}  // namespace

std::string JoinNames(const std::vector<std::string_view>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamesMax); ++i) {
    if (i > 0) text += ", ";
    text += Head(names[i], kNameCharactersMax);
  }
  if (names.size() > kNamesMax) {
    text += " and " + std::to_string(names.size() - kNamesMax) + " more";
  }
  return text;
}

std::optional<ExecutorError> CheckInputs(const std::vector<InputSpec>& specs,
                                         std::vector<Tensor>& tensors) {
  if (tensors.empty() && !specs.empty()) {
    return InvalidInput("the request has no input", "inputs", NamesOf(specs), "none");
  }
  if (specs.empty()) {
    for (const Tensor& tensor : tensors) {
      if (auto error = CheckValues(tensor, /*allow_non_finite=*/false)) return error;
    }
    return std::nullopt;
  }
  for (const Tensor& tensor : tensors) {
    if (std::any_of(specs.begin(), specs.end(),
                    [&](const InputSpec& spec) { return spec.name == tensor.name; })) {
      continue;
    }
    const std::string name(Head(tensor.name, kNameCharactersMax));
    return InvalidInput("the model has no input '" + name + "'", "inputs." + name, NamesOf(specs),
                        NamesOf(tensors));
  }
  std::vector<std::size_t> order;
  for (const InputSpec& spec : specs) {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const Tensor& tensor) { return tensor.name == spec.name; });
    if (found == tensors.end()) {
      return InvalidInput("the input '" + spec.name + "' is missing", "inputs." + spec.name,
                          NamesOf(specs), NamesOf(tensors));
    }
    if (auto error = CheckTensor(*found, spec)) return error;
    order.push_back(static_cast<std::size_t>(found - tensors.begin()));
  }
  std::vector<Tensor> ordered;
  for (const std::size_t index : order) ordered.push_back(std::move(tensors[index]));
  tensors = std::move(ordered);
  return std::nullopt;
}

}  // namespace ncn::native
