#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "native/executor_error.h"
#include "native/question.h"

namespace ncn::native {

inline constexpr std::uint64_t kPayloadBytesMax = 256 << 20;

// One request, as it came.
struct Request {
  std::string_view data;
  std::string content_type;  // In lower case, without parameters; empty: not known.
  std::string accept;        // What the caller takes; empty: no preference.
  std::string request_id;
  std::uint64_t output_bytes_max = kPayloadBytesMax;
};

// One answer: its bytes and their media type.
struct Response {
  std::string data;
  std::string content_type;
};

ExecutorError InputTooLarge(std::uint64_t found_bytes);

// "Application/JSON; charset=utf-8" becomes "application/json".
std::string MediaType(std::string_view text);

// The form of the request: the declared one, or what the first bytes look like. InvalidInput for
// one that this executor does not read.
Result<std::string_view> FormOf(const Request& request);
// The form of the answer: what is asked for, otherwise that of the question.
Result<std::string_view> AnswerFormOf(std::string_view accept, std::string_view question_form);

Result<Question> Decode(std::string_view data, std::string_view form);

// Writes those of `outputs` that the question wants, in its order; without a wish, all.
Result<std::string> Encode(const std::vector<Tensor>& outputs, const Question& question,
                           std::string_view form,
                           const std::map<std::string, std::vector<std::string>>& labels,
                           const AnswerNames& names);

}  // namespace ncn::native
