#include "sync/disk_budget.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sync/testing_synchronizer.h"
#include "transfer/testing_archive.h"
#include "transfer/testing_server.h"

namespace ncn::sync {
namespace {

namespace fs = std::filesystem;
using Kind = ModelOutcome::Kind;
using testing::HasSubstr;
using testing::SizeIs;

class DiskBudgetTest : public SynchronizerFixture {
 protected:
  void SetBudget(std::uint64_t bytes) {
    options_.disk_budget_bytes = bytes;
    Reopen();
  }
  inference::SubnetModel& AddOf(const std::string& name, std::size_t bytes, int seed = 1) {
    return Add(name, {Publish(name + ".safetensors", SafetensorsOf(seed, bytes))},
               std::to_string(seed));
  }
};

TEST_F(DiskBudgetTest, WhatDoesNotFitIsRefusedAndTheRestIsInstalled) {
  SetBudget(5000);
  AddOf("first", 1000);
  AddOf("large", 9000);
  AddOf("last", 1000);
  const auto outcomes = Run();
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_EQ(outcomes[0].kind, Kind::kInstalled) << outcomes[0].status;
  EXPECT_TRUE(absl::IsResourceExhausted(outcomes[1].status)) << outcomes[1].status;
  EXPECT_THAT(std::string(outcomes[1].status.message()), HasSubstr("--models-disk-budget"));
  EXPECT_EQ(outcomes[2].kind, Kind::kInstalled) << outcomes[2].status;
  EXPECT_TRUE(fs::is_empty(folder_->staging()));
}

TEST_F(DiskBudgetTest, WhatTheSubnetDroppedMakesRoomForWhatItWants) {
  SetBudget(1500);
  AddOf("dropped", 1000);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  subnet_.models.clear();
  AddOf("wanted", 1000);
  const auto outcomes = Run();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].kind, Kind::kInstalled) << outcomes[0].status;
  EXPECT_EQ(outcomes[1].kind, Kind::kRemoved) << outcomes[1].status;
}

TEST_F(DiskBudgetTest, AnArchiveCountsAsWhatItComesTo) {
  SetBudget(5000);
  const fs::path path = temporary_.path() / "archive";
  transfer::WriteArchive(path, {{.path = "w.safetensors", .content = SafetensorsOf(0, 100'000)}},
                         transfer::ArchiveFormat::kZip);
  const std::string bytes = ReadAllOf(path);
  ASSERT_LT(bytes.size(), 5000u);
  transfer::TestServer server([&](const auto& request, auto& connection) {
    transfer::ServeRanges(bytes, request, connection);
  });
  inference::SubnetFile file = Publish("packed", bytes);
  file.unpack = true;
  file.sources = {server.Url("/f")};
  Add("packed", {file});
  for (int pass = 0; pass < 3; ++pass) {
    const ModelOutcome outcome = RunOne();
    EXPECT_TRUE(absl::IsResourceExhausted(outcome.status)) << outcome.status;
    EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("--models-disk-budget"));
    EXPECT_FALSE(fs::exists(models() / "packed"));
  }
  EXPECT_THAT(server.requests(), SizeIs(1));
  EXPECT_TRUE(fs::is_empty(folder_->staging()));
  SetBudget(200'000);
  EXPECT_EQ(RunOne().kind, Kind::kInstalled);
}

TEST_F(DiskBudgetTest, OldVersionsGoWhenTheDiskIsFullThoughTheBudgetIsNot) {
  SetBudget(1 << 20);
  AddOf("tiny", 1000, 1);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  subnet_.models.clear();
  AddOf("tiny", 1000, 2);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  ASSERT_THAT(*folder_->Retired(), SizeIs(1));
  options_.download.disk_reserve_bytes = std::uint64_t{1} << 60;
  Reopen();
  AddOf("more", 1000, 3);
  const auto outcomes = Run();
  EXPECT_EQ(outcomes[0].kind, Kind::kKept);
  EXPECT_TRUE(absl::IsResourceExhausted(outcomes[1].status)) << outcomes[1].status;
  EXPECT_THAT(*folder_->Retired(), SizeIs(0));
}

TEST_F(DiskBudgetTest, NoOldVersionGoesForWhatWillNeverFit) {
  SetBudget(5000);
  AddOf("tiny", 1000, 1);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  subnet_.models.clear();
  AddOf("tiny", 1000, 2);
  AddOf("large", 9000, 3);
  const auto outcomes = Run();
  EXPECT_EQ(outcomes[0].kind, Kind::kInstalled) << outcomes[0].status;
  EXPECT_TRUE(absl::IsResourceExhausted(outcomes[1].status)) << outcomes[1].status;
  Run();
  EXPECT_THAT(*folder_->Retired(), SizeIs(1));
}

TEST_F(DiskBudgetTest, AnOldVersionThatIsWantedAgainIsNotDeletedToMakeRoom) {
  SetBudget(3500);
  const inference::SubnetModel first = AddOf("tiny", 1000, 1);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  subnet_.models.clear();
  AddOf("tiny", 1000, 2);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  fs::remove_all(published());
  subnet_.models = {first};
  AddOf("large", 2000, 3);
  const auto outcomes = Run();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].kind, Kind::kRestored) << outcomes[0].status;
  EXPECT_TRUE(absl::IsResourceExhausted(outcomes[1].status)) << outcomes[1].status;
  // The version that it replaced is the one to go.
  const auto again = Run();
  EXPECT_EQ(again[1].kind, Kind::kInstalled) << again[1].status;
}

}  // namespace
}  // namespace ncn::sync
