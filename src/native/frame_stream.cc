#include "native/frame_stream.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/status_macros.h"

namespace ncn::native {
namespace {

constexpr std::uint32_t kHeaderBytesMax = 64 * 1024;
constexpr std::uint64_t kBodyBytesMax = 4ULL << 30;
constexpr std::size_t kPrefixBytes = 12;

}  // namespace

absl::StatusOr<std::size_t> FrameStream::ReadUpTo(char* bytes, std::size_t wanted) {
  std::size_t done = 0;
  while (done < wanted) {
    const ssize_t count = ::read(fd_, bytes + done, wanted - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return absl::UnavailableError("the stream to the node broke");
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

absl::Status FrameStream::ReadExactly(char* bytes, std::size_t wanted) {
  ASSIGN_OR_RETURN(const std::size_t done, ReadUpTo(bytes, wanted));
  return done == wanted ? absl::OkStatus() : absl::InvalidArgumentError("a frame is cut off");
}

absl::StatusOr<std::optional<FrameStream::Header>> FrameStream::ReadHeader() {
  std::array<char, kPrefixBytes> prefix{};
  ASSIGN_OR_RETURN(const std::size_t done, ReadUpTo(prefix.data(), prefix.size()));
  if (done == 0) return std::nullopt;
  if (done < prefix.size()) return absl::InvalidArgumentError("a frame is cut off");
  std::uint32_t header_bytes = 0;
  Header header;
  std::memcpy(&header_bytes, prefix.data(), sizeof(header_bytes));
  std::memcpy(&header.body_bytes, prefix.data() + sizeof(header_bytes), sizeof(header.body_bytes));
  if (header_bytes > kHeaderBytesMax || header.body_bytes > kBodyBytesMax) {
    return absl::InvalidArgumentError("a frame is too large");
  }
  header.text.resize(header_bytes);
  RETURN_IF_ERROR(ReadExactly(header.text.data(), header_bytes));
  return header;
}

absl::StatusOr<std::string> FrameStream::ReadBody(std::uint64_t body_bytes) {
  std::string body(body_bytes, '\0');
  RETURN_IF_ERROR(ReadExactly(body.data(), body.size()));
  return body;
}

absl::Status FrameStream::SkipBody(std::uint64_t body_bytes) {
  std::string chunk(std::min<std::uint64_t>(body_bytes, 1 << 20), '\0');
  while (body_bytes > 0) {
    const std::uint64_t taken = std::min<std::uint64_t>(body_bytes, chunk.size());
    RETURN_IF_ERROR(ReadExactly(chunk.data(), taken));
    body_bytes -= taken;
  }
  return absl::OkStatus();
}

absl::Status FrameStream::Write(std::string_view header, std::string_view body) {
  std::string head(kPrefixBytes, '\0');
  const auto header_bytes = static_cast<std::uint32_t>(header.size());
  const std::uint64_t body_bytes = body.size();
  std::memcpy(head.data(), &header_bytes, sizeof(header_bytes));
  std::memcpy(head.data() + sizeof(header_bytes), &body_bytes, sizeof(body_bytes));
  head += header;
  std::array<iovec, 2> parts{
      {{head.data(), head.size()}, {const_cast<char*>(body.data()), body.size()}}};
  for (std::size_t first = 0; first < parts.size();) {
    const ssize_t count = ::writev(fd_, &parts[first], static_cast<int>(parts.size() - first));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return absl::UnavailableError("the stream to the node broke");
    auto written = static_cast<std::size_t>(count);
    while (first < parts.size() && written >= parts[first].iov_len) {
      written -= parts[first++].iov_len;
    }
    if (first < parts.size()) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + written;
      parts[first].iov_len -= written;
    }
  }
  return absl::OkStatus();
}

}  // namespace ncn::native
