#pragma once

#include <atomic>

#include "base/clock.h"

namespace ncn::base {

// A clock that moves only when told. For tests. Thread-safe.
class FakeClock final : public Clock {
 public:
  // Starts at 2026-01-01T00:00:00Z and the monotonic epoch.
  SteadyTime SteadyNow() const override { return SteadyTime(Elapsed()); }
  std::chrono::system_clock::time_point WallNow() const override {
    return std::chrono::system_clock::time_point(std::chrono::seconds(1767225600)) + Elapsed();
  }
  void Advance(std::chrono::nanoseconds by) { elapsed_ns_ += by.count(); }

 private:
  std::chrono::nanoseconds Elapsed() const { return std::chrono::nanoseconds(elapsed_ns_.load()); }

  std::atomic<std::chrono::nanoseconds::rep> elapsed_ns_ = 0;
};

}  // namespace ncn::base
