#include "base/bounded_queue.h"

#include <thread>

#include "gtest/gtest.h"

namespace ncn::base {
namespace {

TEST(BoundedQueueTest, RefusesWhatDoesNotFit) {
  BoundedQueue<int> queue(1);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_FALSE(queue.TryPush(2));
  EXPECT_EQ(queue.Pop(), 1);
}

TEST(BoundedQueueTest, DrainsAfterCloseAndThenEnds) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, StopWakesAWaitingConsumer) {
  BoundedQueue<int> queue(1);
  std::optional<int> popped = 7;
  {
    std::jthread consumer([&](std::stop_token stop) { popped = queue.Pop(stop); });
  }
  EXPECT_EQ(popped, std::nullopt);
}

}  // namespace
}  // namespace ncn::base
