#include "inference/model_id.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/strings.h"

namespace ncn::inference {
namespace {

constexpr std::size_t kNameCharactersMax = 128;

absl::Status CheckName(std::string_view what, std::string_view text, std::string_view punctuation) {
  if (text.empty() || text.size() > kNameCharactersMax) {
    return absl::InvalidArgumentError(base::StrCat(what, " has ", text.size(), " characters; 1 to ",
                                                   kNameCharactersMax, " are allowed"));
  }
  const bool valid = std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           punctuation.find(c) != std::string_view::npos;
  });
  if (!valid) {
    return absl::InvalidArgumentError(base::StrCat(what, " '", absl::CHexEscape(base::ToAbsl(text)),
                                                   "' may hold only letters, digits and ",
                                                   punctuation));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelId> ModelId::Parse(std::string_view text) {
  if (absl::Status status = CheckName("model name", text, "._-"); !status.ok()) return status;
  if (text.front() == '.') {
    return absl::InvalidArgumentError(
        base::StrCat("model name '", text, "' may not begin with a dot"));
  }
  return ModelId(std::string(text));
}

absl::StatusOr<RequestId> RequestId::Parse(std::string_view text) {
  if (absl::Status status = CheckName("request id", text, "._:-"); !status.ok()) return status;
  return RequestId(std::string(text));
}

}  // namespace ncn::inference
