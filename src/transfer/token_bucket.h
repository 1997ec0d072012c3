#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace ncn::transfer {

// Holds several threads together to a number of bytes per second. Thread-safe.
class TokenBucket {
 public:
  // 0: no limit.
  explicit TokenBucket(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // Returns once `bytes` more are within the limit; false when `stop` was requested before. After a
  // pause, as many as make a tenth of a second are free.
  bool Take(std::uint64_t bytes, const std::stop_token& stop);

 private:
  const std::uint64_t bytes_per_second_;
  std::mutex mutex_;
  std::condition_variable_any never_;
  std::chrono::steady_clock::time_point free_at_;  // When all that was taken is paid for.
};

}  // namespace ncn::transfer
