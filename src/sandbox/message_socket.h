#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ncn::sandbox {

// A datagram with the descriptors that came along.
struct Message {
  std::string bytes;
  std::vector<base::UniqueFd> fds;
  int sender_pid = 0;  // Where the receiving socket asks for it (SO_PASSCRED); 0 otherwise.
};

// Two connected SOCK_SEQPACKET ends, both close-on-exec.
absl::StatusOr<std::pair<base::UniqueFd, base::UniqueFd>> MessageSocketPair();

// Sends one datagram; `fds` are only lent. Waits while the other side's buffer is full.
absl::Status SendMessage(int socket, std::string_view bytes, const std::vector<int>& fds);

// Receives one datagram of at most `bytes_max` bytes. OutOfRange at the end of the conversation,
// InvalidArgument when the datagram or its descriptors are more than allowed (none is then kept),
// DeadlineExceeded after `timeout_ms` (-1: never).
absl::StatusOr<Message> ReceiveMessage(int socket, std::size_t bytes_max, std::size_t fds_max,
                                       int timeout_ms);

}  // namespace ncn::sandbox
