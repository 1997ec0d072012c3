#pragma once

#include <chrono>
#include <cstdint>
#include <random>

namespace ncn::node {

struct BackoffOptions {
  std::chrono::milliseconds initial{250};
  std::chrono::milliseconds max{std::chrono::seconds(30)};
  double multiplier = 2.0;
};

// How long to wait before the next attempt: grows exponentially up to a maximum, each time
// shortened at random by up to a half, so that nodes that lost a gateway together do not come back
// together. Not thread-safe.
class Backoff {
 public:
  Backoff(const BackoffOptions& options, std::uint64_t seed);

  std::chrono::milliseconds Next();
  // After a success: begin again with the initial wait.
  void Reset();

 private:
  const BackoffOptions options_;
  double ceiling_ms_;
  std::mt19937_64 random_;
};

}  // namespace ncn::node
