#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "transfer/byte_ranges.h"
#include "transfer/range_reader.h"

namespace ncn::transfer {

// "bytes 0-99/1000" as the range [0, 100) of 1000 bytes; empty when it is anything else.
struct ContentRange {
  ByteRange range;
  std::uint64_t size_bytes = 0;
};
std::optional<ContentRange> ParseContentRange(std::string_view value);

// The head of an answer, line by line as it arrives, and what it means for the range that was asked
// for. Not thread-safe.
class HttpAnswer {
 public:
  // `whole`: no range was asked for, but all of the file.
  HttpAnswer(const RangeRequest& request, bool whole) : request_(request), whole_(whole) {}

  enum class Next {
    kMoreLines,
    kBody,      // The answer is what was asked for; `body_bytes` of it follow.
    kRedirect,  // To `location`.
    kEnd,       // As `end` says.
  };
  // A line of the head with its line break; the empty one ends it.
  Next TakeLine(std::string_view line);

  std::uint64_t body_bytes() const { return body_bytes_; }
  const std::string& location() const { return location_; }
  const ReadEnd& end() const { return end_; }

 private:
  void TakeField(std::string_view name, std::string_view value);
  Next Judge();
  Next JudgeRange();
  Next JudgeWhole();
  Next End(ReadEnd::Kind kind, absl::StatusCode code, std::string_view message);

  const RangeRequest request_;
  const bool whole_;

  std::size_t head_bytes_ = 0;
  int status_ = 0;
  std::string location_;
  std::string content_range_;
  std::optional<std::uint64_t> content_length_;
  std::optional<std::chrono::milliseconds> retry_after_;
  std::uint64_t body_bytes_ = 0;
  ReadEnd end_;
};

}  // namespace ncn::transfer
