#include "transfer/http_answer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "base/strings.h"
#include "curl/curl.h"

namespace ncn::transfer {
namespace {

constexpr std::size_t kHeadBytesMax = 64 * 1024;

std::optional<std::uint64_t> Number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool IsHeader(std::string_view name, std::string_view expected) {
  return std::equal(name.begin(), name.end(), expected.begin(), expected.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

// Seconds, or a date.
std::optional<std::chrono::milliseconds> ParseRetryAfter(std::string_view value) {
  constexpr std::int64_t kSecondsMax = 1'000'000;
  std::int64_t seconds = 0;
  if (const auto number = Number(value)) {
    seconds = static_cast<std::int64_t>(std::min<std::uint64_t>(*number, kSecondsMax));
  } else {
    const std::time_t date = curl_getdate(std::string(value).c_str(), nullptr);
    if (date < 0) return {};
    seconds = std::clamp<std::int64_t>(date - std::time(nullptr), 0, kSecondsMax);
  }
  return std::chrono::seconds(seconds);
}

bool MayPass(int status) {
  constexpr std::array kStatuses = {408, 421, 425, 429};
  return status >= 500 || std::find(kStatuses.begin(), kStatuses.end(), status) != kStatuses.end();
}

absl::StatusCode CodeOf(int status) {
  switch (status) {
    case 404:
    case 410:
      return absl::StatusCode::kNotFound;
    case 401:
    case 403:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

std::optional<ContentRange> ParseContentRange(std::string_view value) {
  constexpr std::string_view kUnit = "bytes ";
  const std::size_t dash = value.find('-');
  const std::size_t slash = value.find('/');
  if (!value.starts_with(kUnit) || dash == std::string_view::npos ||
      slash == std::string_view::npos || dash > slash) {
    return {};
  }
  const auto first = Number(value.substr(kUnit.size(), dash - kUnit.size()));
  const auto last = Number(value.substr(dash + 1, slash - dash - 1));
  const auto size = Number(value.substr(slash + 1));
  if (!first || !last || !size || *first > *last || *last >= *size) return {};
  return ContentRange{.range = {*first, *last + 1}, .size_bytes = *size};
}

HttpAnswer::Next HttpAnswer::TakeLine(std::string_view line) {
  head_bytes_ += line.size();
  if (head_bytes_ > kHeadBytesMax) {
    return End(ReadEnd::Kind::kGiveUp, absl::StatusCode::kUnavailable,
               base::StrCat("answered with more than ", kHeadBytesMax, " bytes of headers"));
  }
  if (line.starts_with("HTTP/")) {
    // Another answer after one of 1xx: nothing of that one counts.
    const std::size_t space = line.find(' ');
    status_ = 0;
    if (space != std::string_view::npos) {
      status_ = static_cast<int>(Number(line.substr(space + 1, 3)).value_or(0));
    }
    location_.clear();
    content_range_.clear();
    content_length_.reset();
    retry_after_.reset();
    return Next::kMoreLines;
  }
  if (Trimmed(line).empty()) {
    return status_ >= 100 && status_ < 200 ? Next::kMoreLines : Judge();
  }
  if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    TakeField(line.substr(0, colon), Trimmed(line.substr(colon + 1)));
  }
  return Next::kMoreLines;
}

void HttpAnswer::TakeField(std::string_view name, std::string_view value) {
  if (IsHeader(name, "location")) location_ = value;
  if (IsHeader(name, "content-range")) content_range_ = value;
  if (IsHeader(name, "content-length")) content_length_ = Number(value);
  if (IsHeader(name, "retry-after")) retry_after_ = ParseRetryAfter(value);
}

HttpAnswer::Next HttpAnswer::Judge() {
  switch (status_) {
    case 200:
      return JudgeWhole();
    case 206:
      return JudgeRange();
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return Next::kRedirect;
    case 416:
      if (whole_) break;
      return End(ReadEnd::Kind::kNoRanges, absl::StatusCode::kUnavailable, "refuses the range");
    default:
      break;
  }
  const Next next = End(MayPass(status_) ? ReadEnd::Kind::kRetry : ReadEnd::Kind::kGiveUp,
                        CodeOf(status_), base::StrCat("answered ", status_));
  end_.wait = retry_after_;
  return next;
}

HttpAnswer::Next HttpAnswer::JudgeWhole() {
  if (!whole_) {
    return End(ReadEnd::Kind::kNoRanges, absl::StatusCode::kUnavailable, "serves no ranges");
  }
  if (content_length_ && *content_length_ != request_.size_bytes) {
    return End(ReadEnd::Kind::kGiveUp, absl::StatusCode::kDataLoss,
               base::StrCat("has ", *content_length_, " bytes, expected ", request_.size_bytes));
  }
  body_bytes_ = request_.size_bytes;
  return Next::kBody;
}

HttpAnswer::Next HttpAnswer::JudgeRange() {
  if (whole_) {
    return End(ReadEnd::Kind::kGiveUp, absl::StatusCode::kUnavailable,
               "answered with a range where the whole was asked for");
  }
  const auto range = ParseContentRange(content_range_);
  if (range && range->size_bytes != request_.size_bytes) {
    return End(ReadEnd::Kind::kGiveUp, absl::StatusCode::kDataLoss,
               base::StrCat("has ", range->size_bytes, " bytes, expected ", request_.size_bytes));
  }
  if (!range || range->range.begin != request_.offset || range->range.size() > request_.length) {
    return End(ReadEnd::Kind::kNoRanges, absl::StatusCode::kUnavailable,
               "answered with another range than asked for");
  }
  if (content_length_ && *content_length_ != range->range.size()) {
    return End(ReadEnd::Kind::kNoRanges, absl::StatusCode::kUnavailable,
               "answered with another length than its range");
  }
  body_bytes_ = range->range.size();
  return Next::kBody;
}

HttpAnswer::Next HttpAnswer::End(ReadEnd::Kind kind, absl::StatusCode code,
                                 std::string_view message) {
  end_ = {.kind = kind, .status = absl::Status(code, base::ToAbsl(message))};
  return Next::kEnd;
}

}  // namespace ncn::transfer
