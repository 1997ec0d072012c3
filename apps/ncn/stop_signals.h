#pragma once

#include <signal.h>

#include <stop_token>
#include <thread>

namespace ncn::apps {

// Turns SIGINT and SIGTERM into a stop request while it exists; a second one ends the program as
// usual. To be made before other threads are.
class StopOnSignal {
 public:
  StopOnSignal() {
    ::sigemptyset(&signals_);
    ::sigaddset(&signals_, SIGINT);
    ::sigaddset(&signals_, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    thread_ = std::jthread([this](const std::stop_token& ended) {
      const timespec pause{.tv_sec = 0, .tv_nsec = 100'000'000};
      while (!ended.stop_requested()) {
        if (::sigtimedwait(&signals_, nullptr, &pause) > 0) {
          source_.request_stop();
          ::pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
          return;
        }
      }
    });
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal() = default;

  std::stop_token token() const { return source_.get_token(); }

 private:
  sigset_t signals_{};
  std::stop_source source_;
  std::jthread thread_;
};

}  // namespace ncn::apps
