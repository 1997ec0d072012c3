#include "inference/inference_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/strings.h"

namespace ncn::inference {

bool IsMediaType(std::string_view text) {
  constexpr std::string_view kPunctuation = "!#$&-^_.+/";
  return text.size() <= 100 && std::count(text.begin(), text.end(), '/') == 1 &&
         !text.starts_with('/') && !text.ends_with('/') &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  kPunctuation.find(c) != std::string_view::npos;
         });
}

absl::Status Validate(const InferenceRequest& request, const RequestLimits& limits) {
  if (request.input.bytes.empty()) {
    return absl::InvalidArgumentError("the input is empty; send the model's input tensors");
  }
  if (request.input.bytes.size() > limits.input_bytes_max) {
    return absl::ResourceExhaustedError(base::StrCat("the input has ", request.input.bytes.size(),
                                                     " bytes; this node accepts at most ",
                                                     limits.input_bytes_max));
  }
  for (const std::string& type : {request.input.content_type, request.accept}) {
    if (!type.empty() && !IsMediaType(type)) {
      return absl::InvalidArgumentError(
          base::StrCat("'", absl::CHexEscape(type.substr(0, 100)), "' is not a media type"));
    }
  }
  if (request.timeout < std::chrono::milliseconds::zero()) {
    return absl::InvalidArgumentError("the time-out is negative");
  }
  return absl::OkStatus();
}

}  // namespace ncn::inference
