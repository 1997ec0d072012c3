#include "sandbox/stream_tail.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace ncn::sandbox {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;  // A pipe's worth.
constexpr int kReadsPerDrain = 16;

}  // namespace

StreamTail::StreamTail(base::UniqueFd fd, std::size_t bytes_kept)
    : fd_(std::move(fd)), bytes_kept_(bytes_kept) {}

void StreamTail::Drain() {
  std::array<char, kReadBytes> buffer;
  for (int i = 0; i < kReadsPerDrain && fd_.valid(); ++i) {
    const ssize_t size = ::read(fd_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return fd_.reset();
    bytes_seen_ += static_cast<std::uint64_t>(size);
    tail_.append(buffer.data(), static_cast<std::size_t>(size));
    // Cut rarely, so that a flood costs a copy every `bytes_kept_` bytes only.
    if (tail_.size() > 2 * bytes_kept_ + kReadBytes) tail_.erase(0, tail_.size() - bytes_kept_);
  }
}

std::string StreamTail::TakeTail() {
  if (tail_.size() > bytes_kept_) tail_.erase(0, tail_.size() - bytes_kept_);
  return std::exchange(tail_, {});
}

}  // namespace ncn::sandbox
