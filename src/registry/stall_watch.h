#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace ncn::registry {

// Calls `give_up` from a thread of its own when a step takes longer than `step_max`. A step begins
// with Begin and ends with End, or with the next Begin. Calls it at most once.
class StallWatch {
 public:
  StallWatch(std::chrono::milliseconds step_max, std::function<void()> give_up)
      : step_max_(step_max),
        give_up_(std::move(give_up)),
        thread_([this](std::stop_token stop) { Watch(stop); }) {}

  void Begin() {
    std::lock_guard lock(mutex_);
    began_ = std::chrono::steady_clock::now();
    running_ = true;
  }
  void End() {
    std::lock_guard lock(mutex_);
    running_ = false;
  }
  bool gave_up() const { return gave_up_; }

 private:
  void Watch(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      const auto now = std::chrono::steady_clock::now();
      // A step that begins while this sleeps ends later than the sleep.
      const auto end = (running_ ? began_ : now) + step_max_;
      if (running_ && now >= end) {
        gave_up_ = true;
        give_up_();
        return;
      }
      changed_.wait_until(lock, stop, end, [] { return false; });
    }
  }

  const std::chrono::milliseconds step_max_;
  const std::function<void()> give_up_;
  std::atomic<bool> gave_up_ = false;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::chrono::steady_clock::time_point began_;
  bool running_ = false;
  std::jthread thread_;  // Last: it uses all else.
};

}  // namespace ncn::registry
