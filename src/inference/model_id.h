#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ncn::inference {

// The name of a model: 1 to 128 characters of A-Z a-z 0-9 . _ -, not beginning with a dot. So it is
// always a single, visible path component. Immutable.
class ModelId {
 public:
  // InvalidArgument says which rule `text` breaks.
  static absl::StatusOr<ModelId> Parse(std::string_view text);

  const std::string& value() const { return value_; }
  friend auto operator<=>(const ModelId&, const ModelId&) = default;

 private:
  explicit ModelId(std::string value) : value_(std::move(value)) {}
  std::string value_;
};

// The name of a request, chosen by the gateway: 1 to 128 characters of A-Z a-z 0-9 . _ : -.
class RequestId {
 public:
  static absl::StatusOr<RequestId> Parse(std::string_view text);

  const std::string& value() const { return value_; }
  friend auto operator<=>(const RequestId&, const RequestId&) = default;

 private:
  explicit RequestId(std::string value) : value_(std::move(value)) {}
  std::string value_;
};

}  // namespace ncn::inference
