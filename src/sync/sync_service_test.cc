#include "sync/sync_service.h"

#include <algorithm>
#include <thread>

#include "gtest/gtest.h"
#include "sync/testing_models.h"

namespace ncn::sync {
namespace {

using std::chrono::milliseconds;

TEST(PauseAfterTest, DoublesWithEachFailureUpToTheInterval) {
  const auto pause = [](std::size_t failures) {
    return PauseAfter(failures, milliseconds(15), milliseconds(100)).count();
  };
  EXPECT_EQ(pause(0), 100);
  EXPECT_EQ(pause(1), 15);
  EXPECT_EQ(pause(2), 30);
  EXPECT_EQ(pause(3), 60);
  EXPECT_EQ(pause(4), 100);
  EXPECT_EQ(pause(~std::size_t{0}), 100);
  EXPECT_EQ(PauseAfter(1, milliseconds(15), milliseconds(10)), milliseconds(10));
}

TEST(SyncServiceTest, WaitsLongerAfterEachPassThatFails) {
  TemporaryFolder folder;
  models::ModelStore store(folder.path());
  const Registries none;  // So that nothing can be had.
  SyncService service(
      none, store,
      {.folder = folder.path(), .interval = milliseconds(8), .retry = milliseconds(1)});
  std::int64_t longest = 0;
  while (longest < 8) {
    const SyncState state = service.state();
    EXPECT_TRUE(longest == 0 || longest <= state.pause.count());
    longest = std::max(longest, static_cast<std::int64_t>(state.pause.count()));
    std::this_thread::yield();
  }
  EXPECT_FALSE(service.state().last_error.empty());
}

}  // namespace
}  // namespace ncn::sync
