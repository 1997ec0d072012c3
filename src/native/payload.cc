#include "native/payload.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "native/input_check.h"
#include "native/open_inference.h"
#include "native/safetensors.h"

namespace ncn::native {
namespace {

constexpr std::array<std::string_view, 2> kForms = {kOpenInferenceType, kSafetensorsType};
// What a caller says who does not know.
constexpr std::array<std::string_view, 3> kUnknownTypes = {"", "application/octet-stream", "*/*"};
constexpr char kFormNames[] = "application/json, application/x-safetensors";

template <std::size_t n>
bool IsAmong(const std::array<std::string_view, n>& all, std::string_view one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

bool LooksLikeSafetensors(std::string_view data) {
  std::uint64_t header_bytes = 0;
  if (data.size() <= sizeof(header_bytes) || data[sizeof(header_bytes)] != '{') return false;
  std::memcpy(&header_bytes, data.data(), sizeof(header_bytes));
  return header_bytes < data.size();
}

}  // namespace

ExecutorError InputTooLarge(std::uint64_t found_bytes) {
  return {.code = ErrorCode::kInputTooLarge,
          .message = "the input is too large",
          .expected = "at most " + std::to_string(kPayloadBytesMax) + " bytes",
          .found = std::to_string(found_bytes) + " bytes"};
}

std::string MediaType(std::string_view text) {
  text = text.substr(0, text.find(';'));
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

Result<std::string_view> FormOf(const Request& request) {
  for (const std::string_view form : kForms) {
    if (request.content_type == form) return form;
  }
  if (!IsAmong(kUnknownTypes, request.content_type)) {
    return InvalidInput("the content type cannot be used", "content_type", kFormNames,
                        std::string(Head(request.content_type, 80)));
  }
  return LooksLikeSafetensors(request.data) ? kSafetensorsType : kOpenInferenceType;
}

Result<std::string_view> AnswerFormOf(std::string_view accept, std::string_view question_form) {
  if (MediaType(accept).empty() && accept.find(',') == accept.npos) return question_form;
  for (std::string_view rest = accept; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string wanted = MediaType(rest.substr(0, comma));
    for (const std::string_view form : kForms) {
      if (wanted == form) return form;
    }
    if (wanted == "*/*" || wanted == "application/*") return question_form;
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return InvalidInput("no answer of an accepted type can be given", "accept", kFormNames,
                      std::string(Head(accept, 80)));
}

Result<Question> Decode(std::string_view data, std::string_view form) {
  return form == kSafetensorsType ? DecodeSafetensors(data) : DecodeOpenInference(data);
}

Result<std::string> Encode(const std::vector<Tensor>& outputs, const Question& question,
                           std::string_view form,
                           const std::map<std::string, std::vector<std::string>>& labels,
                           const AnswerNames& names) {
  std::vector<const Tensor*> chosen;
  for (const std::string& wanted : question.outputs) {
    const auto found = std::find_if(outputs.begin(), outputs.end(),
                                    [&](const Tensor& output) { return output.name == wanted; });
    if (found == outputs.end()) {
      std::vector<std::string_view> all;
      for (const Tensor& output : outputs) all.push_back(output.name);
      const std::string name(Head(wanted, 80));
      return InvalidInput("the model has no output '" + name + "'", "outputs." + name,
                          JoinNames(all), name);
    }
    // A name that is given twice is answered once.
    if (std::find(chosen.begin(), chosen.end(), &*found) == chosen.end()) chosen.push_back(&*found);
  }
  if (question.outputs.empty()) {
    for (const Tensor& output : outputs) chosen.push_back(&output);
  }
  return form == kSafetensorsType ? EncodeSafetensors(chosen, names)
                                  : EncodeOpenInference(chosen, labels, names);
}

}  // namespace ncn::native
