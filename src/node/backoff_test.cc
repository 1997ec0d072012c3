#include "node/backoff.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace ncn::node {
namespace {

using std::chrono::milliseconds;

constexpr BackoffOptions kOptions{.initial = milliseconds(100), .max = milliseconds(1000)};

TEST(BackoffTest, GrowsToTheMaximumAndStaysWithinHalfOfIt) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Backoff backoff(kOptions, seed);
    std::int64_t ceiling = 100;
    for (int attempt = 0; attempt < 12; ++attempt) {
      const std::int64_t wait = backoff.Next().count();
      EXPECT_GE(wait, ceiling / 2);
      EXPECT_LE(wait, ceiling);
      ceiling = std::min<std::int64_t>(ceiling * 2, 1000);
    }
  }
}

TEST(BackoffTest, BeginsAgainAfterASuccess) {
  Backoff backoff(kOptions, 1);
  for (int attempt = 0; attempt < 10; ++attempt) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), milliseconds(100));
}

TEST(BackoffTest, NodesWithDifferentSeedsDoNotComeBackTogether) {
  EXPECT_NE(Backoff({.initial = std::chrono::hours(1)}, 1).Next(),
            Backoff({.initial = std::chrono::hours(1)}, 2).Next());
}

}  // namespace
}  // namespace ncn::node
