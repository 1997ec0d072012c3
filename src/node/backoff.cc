#include "node/backoff.h"

#include <algorithm>
#include <cmath>

namespace ncn::node {

Backoff::Backoff(const BackoffOptions& options, std::uint64_t seed)
    : options_(options), ceiling_ms_(static_cast<double>(options.initial.count())), random_(seed) {}

std::chrono::milliseconds Backoff::Next() {
  std::uniform_real_distribution<double> factor(0.5, 1.0);
  const double wait_ms = std::max(1.0, std::round(ceiling_ms_ * factor(random_)));
  ceiling_ms_ =
      std::min(ceiling_ms_ * options_.multiplier, static_cast<double>(options_.max.count()));
  return std::chrono::milliseconds(static_cast<std::int64_t>(wait_ms));
}

void Backoff::Reset() { ceiling_ms_ = static_cast<double>(options_.initial.count()); }

}  // namespace ncn::node
