#include "transfer/token_bucket.h"

#include <algorithm>

namespace ncn::transfer {

bool TokenBucket::Take(std::uint64_t bytes, const std::stop_token& stop) {
  constexpr std::chrono::milliseconds kBurst(100);
  if (bytes_per_second_ == 0) return !stop.stop_requested();
  const std::chrono::duration<double> price(static_cast<double>(bytes) /
                                            static_cast<double>(bytes_per_second_));
  std::unique_lock lock(mutex_);
  free_at_ = std::max(free_at_, std::chrono::steady_clock::now() - kBurst) +
             std::chrono::duration_cast<std::chrono::steady_clock::duration>(price);
  const std::chrono::steady_clock::time_point paid_at = free_at_;
  never_.wait_until(lock, stop, paid_at, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace ncn::transfer
