#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ncn::native {

// The child's end of a ready child's conversation, as src/executors/conversation.h describes it:
// frames of a JSON header and bytes, by read and write alone. Not thread-safe.
class FrameStream {
 public:
  explicit FrameStream(int fd) : fd_(fd) {}

  struct Header {
    std::string text;
    std::uint64_t body_bytes = 0;
  };
  // The next header; nothing at the end of the stream. InvalidArgument when a frame makes no sense,
  // after which nothing does; Unavailable when the stream broke. ReadBody or SkipBody has to
  // follow.
  absl::StatusOr<std::optional<Header>> ReadHeader();
  absl::StatusOr<std::string> ReadBody(std::uint64_t body_bytes);
  absl::Status SkipBody(std::uint64_t body_bytes);
  absl::Status Write(std::string_view header, std::string_view body);

 private:
  // How many bytes there were; fewer than wanted only at the end.
  absl::StatusOr<std::size_t> ReadUpTo(char* bytes, std::size_t wanted);
  absl::Status ReadExactly(char* bytes, std::size_t wanted);

  const int fd_;
};

}  // namespace ncn::native
