#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"

namespace ncn::reference {

// A few threads that do what gRPC's own must not: decode, verify, decide. Thread-safe.
class Workers {
 public:
  Workers(std::size_t threads, std::size_t queue_capacity) : queue_(queue_capacity) {
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this](std::stop_token stop) {
        while (const auto task = queue_.Pop(stop)) (*task)();
      });
    }
  }
  ~Workers() { Stop(); }

  // Waits for the tasks that have begun; those that have not are dropped, as is what comes later.
  // To be called before anything goes that tasks use. By one thread.
  void Stop() {
    queue_.Close();
    threads_.clear();
  }

  // False when too many tasks wait.
  [[nodiscard]] bool Post(std::function<void()> task) { return queue_.TryPush(std::move(task)); }

 private:
  base::BoundedQueue<std::function<void()>> queue_;
  std::vector<std::jthread> threads_;
};

}  // namespace ncn::reference
