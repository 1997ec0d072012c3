#pragma once

#include <chrono>

namespace ncn::base {

using SteadyTime = std::chrono::steady_clock::time_point;

// The time, as something that a test can hold still. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic; for durations and deadlines.
  virtual SteadyTime SteadyNow() const = 0;
  // Wall clock; for what other machines see.
  virtual std::chrono::system_clock::time_point WallNow() const = 0;

  // The machine's clock. Lives for ever.
  static const Clock& System();
};

}  // namespace ncn::base
