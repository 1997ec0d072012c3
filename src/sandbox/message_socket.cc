#include "sandbox/message_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_status.h"

namespace ncn::sandbox {
namespace {

constexpr std::size_t kFdsPerMessageMax = 16;
constexpr std::size_t kControlBytes =
    CMSG_SPACE(sizeof(int) * kFdsPerMessageMax) + CMSG_SPACE(sizeof(ucred));

void TakeControl(msghdr& header, Message& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        message.fds.emplace_back(fd);
      }
    } else if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
      message.sender_pid = credentials.pid;
    }
  }
}

}  // namespace

absl::StatusOr<std::pair<base::UniqueFd, base::UniqueFd>> MessageSocketPair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return base::ErrnoStatus(errno, "socketpair");
  }
  return std::make_pair(base::UniqueFd(ends[0]), base::UniqueFd(ends[1]));
}

absl::Status SendMessage(int socket, std::string_view bytes, const std::vector<int>& fds) {
  if (fds.size() > kFdsPerMessageMax) return absl::InvalidArgumentError("too many descriptors");
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  while (::sendmsg(socket, &header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return base::ErrnoStatus(errno, "send of a message");
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> ReceiveMessage(int socket, std::size_t bytes_max, std::size_t fds_max,
                                       int timeout_ms) {
  pollfd ready{socket, POLLIN, 0};
  int polled = 0;
  do {
    polled = ::poll(&ready, 1, timeout_ms);
  } while (polled < 0 && errno == EINTR);
  if (polled == 0) return absl::DeadlineExceededError("no message in time");

  // The usual message is short, the largest possible one is not: ask before making room.
  ssize_t waiting = 0;
  do {
    // ECONNRESET is told once, and before what still waits, when the other side ends without having
    // read all: one that was killed before it saw that it may go.
    waiting = ::recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC);
  } while (waiting < 0 && (errno == EINTR || errno == ECONNRESET));
  if (waiting < 0) return base::ErrnoStatus(errno, "receipt of a message");

  Message message;
  message.bytes.resize(std::clamp<std::size_t>(static_cast<std::size_t>(waiting), 1, bytes_max));
  iovec part{message.bytes.data(), message.bytes.size()};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
  if (size < 0) return base::ErrnoStatus(errno, "receipt of a message");
  TakeControl(header, message);
  if (size == 0) return absl::OutOfRangeError("the conversation has ended");
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || message.fds.size() > fds_max) {
    return absl::InvalidArgumentError("a message is larger than allowed");
  }
  message.bytes.resize(static_cast<std::size_t>(size));
  return message;
}

}  // namespace ncn::sandbox
