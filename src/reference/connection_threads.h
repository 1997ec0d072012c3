#pragma once

#include <httplib.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace ncn::reference {

// The threads of a cpp-httplib server: one for each connection, made when one is first needed, up
// to a number. Beyond it, enqueue blocks, so that further clients wait in the kernel's queue.
class ConnectionThreads final : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(std::size_t threads_max) : threads_max_(threads_max) {}

  void enqueue(std::function<void()> task) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return busy_ < threads_max_; });
    ++busy_;
    tasks_.push_back(std::move(task));
    if (busy_ > threads_.size()) {
      threads_.emplace_back([this] { Work(); });
    } else {
      changed_.notify_all();
    }
  }

  void shutdown() override {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    threads_.clear();
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
      --busy_;
      changed_.notify_all();
    }
  }

  const std::size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::size_t busy_ = 0;  // Tasks that wait or run.
  bool closed_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace ncn::reference
