#include "executors/conversation.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/executor_report.h"

namespace ncn::executors {
namespace {

constexpr std::size_t kLengthBytes = 12;
constexpr int kSocketBytes = 1 << 20;  // In flight, so that large bodies need fewer turns.
constexpr std::size_t kStepBytes = 1 << 20;

void PutNumber(char* bytes, std::uint64_t value, int size) {
  for (int i = 0; i < size; ++i) bytes[i] = static_cast<char>((value >> (8 * i)) & 0xff);
}

std::uint64_t TakeNumber(const char* bytes, int size) {
  std::uint64_t value = 0;
  for (int i = 0; i < size; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

absl::Status Gone() { return absl::UnavailableError("the child has ended"); }

}  // namespace

absl::StatusOr<Conversation::Ends> Conversation::MakeEnds() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return base::ErrnoStatus(errno, "socketpair");
  }
  Ends pair{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
  for (const int fd : ends) {
    // Best effort: less is only slower.
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBytes, sizeof(kSocketBytes));
  }
  return pair;
}

absl::Status Conversation::Wait(short events, base::SteadyTime deadline) const {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return absl::DeadlineExceededError("the child took too long");
    pollfd ready{socket_.get(), events, 0};
    const int polled =
        ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 3'600'000)));
    if (polled > 0) return absl::OkStatus();
    if (polled < 0 && errno != EINTR) return base::ErrnoStatus(errno, "poll");
  }
}

absl::Status Conversation::Send(std::string_view header, std::string_view body,
                                base::SteadyTime deadline) {
  std::array<char, kLengthBytes> lengths;
  PutNumber(lengths.data(), header.size(), 4);
  PutNumber(lengths.data() + 4, body.size(), 8);
  std::array<iovec, 3> parts{{{lengths.data(), lengths.size()},
                              {const_cast<char*>(header.data()), header.size()},
                              {const_cast<char*>(body.data()), body.size()}}};
  std::size_t first = 0;
  while (first < parts.size()) {
    msghdr message{};
    message.msg_iov = &parts[first];
    message.msg_iovlen = parts.size() - first;
    ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      RETURN_IF_ERROR(Wait(POLLOUT, deadline));
      continue;
    }
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return Gone();
    while (first < parts.size() && static_cast<std::size_t>(sent) >= parts[first].iov_len) {
      sent -= static_cast<ssize_t>(parts[first++].iov_len);
    }
    if (first < parts.size()) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + sent;
      parts[first].iov_len -= static_cast<std::size_t>(sent);
    }
  }
  return absl::OkStatus();
}

absl::Status Conversation::ReadExactly(char* bytes, std::size_t size, base::SteadyTime deadline) {
  while (size > 0) {
    if (ahead_at_ < ahead_size_) {
      const std::size_t take = std::min(size, ahead_size_ - ahead_at_);
      std::memcpy(bytes, ahead_.data() + ahead_at_, take);
      ahead_at_ += take;
      bytes += take;
      size -= take;
      continue;
    }
    // Small reads, of lengths and headers, bring what follows them.
    const bool small = size < ahead_.size();
    const ssize_t got = ::recv(socket_.get(), small ? ahead_.data() : bytes,
                               small ? ahead_.size() : size, MSG_DONTWAIT);
    if (got == 0) return Gone();
    if (got < 0 && errno == EAGAIN) {
      RETURN_IF_ERROR(Wait(POLLIN, deadline));
    } else if (got < 0 && errno != EINTR) {
      return Gone();
    } else if (got > 0 && small) {
      ahead_at_ = 0;
      ahead_size_ = static_cast<std::size_t>(got);
    } else if (got > 0) {
      bytes += got;
      size -= static_cast<std::size_t>(got);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Frame> Conversation::Receive(std::uint64_t body_bytes_max,
                                            base::SteadyTime deadline) {
  std::array<char, kLengthBytes> lengths;
  RETURN_IF_ERROR(ReadExactly(lengths.data(), lengths.size(), deadline));
  const std::uint64_t header_bytes = TakeNumber(lengths.data(), 4);
  const std::uint64_t body_bytes = TakeNumber(lengths.data() + 4, 8);
  if (header_bytes > kReportBytesMax) {
    return absl::InvalidArgumentError(
        base::StrCat("a header of ", header_bytes, " bytes, more than ", kReportBytesMax));
  }
  if (body_bytes > body_bytes_max) {
    return absl::ResourceExhaustedError(
        base::StrCat("a body of ", body_bytes, " bytes, more than ", body_bytes_max));
  }
  Frame frame;
  frame.header.resize(header_bytes);
  RETURN_IF_ERROR(ReadExactly(frame.header.data(), header_bytes, deadline));
  // Memory is taken for what has come, not for what was announced.
  while (frame.body.size() < body_bytes) {
    const std::size_t at = frame.body.size();
    const std::size_t step = std::min<std::size_t>(body_bytes - at, std::max(at, kStepBytes));
    frame.body.resize(at + step);
    RETURN_IF_ERROR(ReadExactly(frame.body.data() + at, step, deadline));
  }
  return frame;
}

void Conversation::Shutdown() { ::shutdown(socket_.get(), SHUT_RDWR); }

bool Conversation::Disturbed() const {
  if (ahead_at_ < ahead_size_) return true;
  pollfd ready{socket_.get(), POLLIN, 0};
  return ::poll(&ready, 1, 0) != 0;
}

}  // namespace ncn::executors
