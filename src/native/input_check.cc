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

std::optional<ExecutorError> CheckTensor(const Tensor& tensor, const InputSpec& spec) {
  const std::string name(Head(tensor.name, kNameCharactersMax));
  const std::string field = "inputs." + name;
  if (tensor.datatype != spec.datatype) {
    return InvalidInput("the input '" + name + "' has the wrong datatype", field + ".datatype",
                        std::string(Name(spec.datatype)), std::string(Name(tensor.datatype)));
  }
  if (spec.shape && !ShapesFit(*spec.shape, tensor.shape)) {
    return InvalidInput("the input '" + name + "' has the wrong shape", field + ".shape",
                        ShapeText(*spec.shape), ShapeText(tensor.shape));
  }
  const auto has_zero = [](const Shape& shape) {
    return std::find(shape.begin(), shape.end(), 0) != shape.end();
  };
  // A dimension of 0 that is declared is meant.
  if (has_zero(tensor.shape) && !(spec.shape && has_zero(*spec.shape))) {
    return InvalidInput("the input '" + name + "' has no elements", field + ".shape",
                        "at least one element (a model that takes none says so with allow_empty = "
                        "true in its model.toml)",
                        ShapeText(tensor.shape));
  }
  const std::string_view found = spec.allow_non_finite ? "" : FirstNonFinite(tensor);
  if (found.empty()) return std::nullopt;
  return InvalidInput("the input '" + name + "' holds a number that is not finite", field + ".data",
                      "finite numbers (a model that takes others says so with allow_non_finite = "
                      "true in its model.toml)",
                      std::string(found));
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
      if (auto error = CheckTensor(tensor, {.name = tensor.name, .datatype = tensor.datatype})) {
        return error;
      }
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
