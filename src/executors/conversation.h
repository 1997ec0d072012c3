#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"

namespace ncn::executors {

// One message between the node and a ready child: a JSON object of at most kReportBytesMax bytes
// and bytes that it is about. On the socket: the header's length (4 bytes, little-endian), the
// body's (8 bytes), header, body.
struct Frame {
  std::string header;
  std::string body;
};

// The node's end of a connected stream socket whose other end is a child's standard input. What
// comes from there is hostile. Not thread-safe.
class Conversation {
 public:
  struct Ends {
    base::UniqueFd ours;
    base::UniqueFd theirs;
  };
  static absl::StatusOr<Ends> MakeEnds();

  explicit Conversation(base::UniqueFd socket) : socket_(std::move(socket)) {}
  int socket() const { return socket_.get(); }

  // DeadlineExceeded when the other side does not take it in time; Unavailable when it is gone.
  absl::Status Send(std::string_view header, std::string_view body, base::SteadyTime deadline);
  // The next frame. DeadlineExceeded, Unavailable at the end; ResourceExhausted when the body would
  // be larger than `body_bytes_max`, InvalidArgument when the header would, after which nothing
  // more can be read.
  absl::StatusOr<Frame> Receive(std::uint64_t body_bytes_max, base::SteadyTime deadline);
  // Ends it: whoever sends or receives finds the other side gone. Thread-safe.
  void Shutdown();
  // Whether the other side has ended or said something unasked.
  bool Disturbed() const;

 private:
  absl::Status Wait(short events, base::SteadyTime deadline) const;
  absl::Status ReadExactly(char* bytes, std::size_t size, base::SteadyTime deadline);

  base::UniqueFd socket_;
  std::array<char, 4096> ahead_;  // Received and not asked for yet: from ahead_at_ to ahead_size_.
  std::size_t ahead_at_ = 0;
  std::size_t ahead_size_ = 0;
};

}  // namespace ncn::executors
