#pragma once

#include <mutex>
#include <utility>

namespace ncn::base {

// A value that can only be reached while its mutex is held:
//   Synchronized<State> state;
//   state.With([](State& s) { ++s.count; });
// Thread-safe. The callback must not call With on the same object, nor keep the reference.
template <typename T>
class Synchronized {
 public:
  Synchronized() = default;
  explicit Synchronized(T value) : value_(std::move(value)) {}

  template <typename F>
  decltype(auto) With(F&& f) {
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(value_);
  }
  template <typename F>
  decltype(auto) With(F&& f) const {
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(value_);
  }

 private:
  mutable std::mutex mutex_;
  T value_;
};

}  // namespace ncn::base
