#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace ncn::sandbox {

// The reading end of a sandbox's stdout or stderr: keeps the last bytes, counts all. Not
// thread-safe.
class StreamTail {
 public:
  // Takes a non-blocking descriptor; keeps at most `bytes_kept` bytes.
  StreamTail(base::UniqueFd fd, std::size_t bytes_kept);

  // Reads what is there, up to a bound that keeps one flood from starving the rest. Closes at the
  // end of the stream.
  void Drain();
  bool open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  std::uint64_t bytes_seen() const { return bytes_seen_; }
  std::string TakeTail();

 private:
  base::UniqueFd fd_;
  const std::size_t bytes_kept_;
  std::uint64_t bytes_seen_ = 0;
  std::string tail_;
};

}  // namespace ncn::sandbox
