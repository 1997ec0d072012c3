#include "transfer/progress.h"

#include "gtest/gtest.h"

namespace ncn::transfer {
namespace {

using std::chrono::seconds;

TEST(ProgressTest, TellsRateAndTimeLeftOfFilesAndTotal) {
  ProgressBoard board;
  board.Begin({{.name = "a", .size_bytes = 1000}, {.name = "b", .size_bytes = 3000}});
  const std::chrono::steady_clock::time_point begin;
  board.Tick(begin);
  board.SetState(0, FileState::kDownloading);
  board.AddFetched(0, 100);
  board.SetPresent(0, 100);
  board.Tick(begin + seconds(1));

  const TransferProgress progress = board.Read();
  EXPECT_EQ(progress.files[0].name, "a");
  EXPECT_DOUBLE_EQ(progress.files[0].bytes_per_second, 100);
  EXPECT_EQ(progress.files[0].time_left, seconds(9));
  EXPECT_EQ(progress.files[1].time_left, std::nullopt);
  EXPECT_EQ(progress.total.state, FileState::kDownloading);
  EXPECT_EQ(progress.total.size_bytes, 4000U);
  EXPECT_EQ(progress.total.present_bytes, 100U);
  EXPECT_EQ(progress.total.fetched_bytes, 100U);
  EXPECT_EQ(progress.total.time_left, seconds(39));
}

TEST(ProgressTest, FollowsAChangedRateSlowly) {
  ProgressBoard board;
  board.Begin({{.name = "a", .size_bytes = 1'000'000}});
  board.SetState(0, FileState::kDownloading);
  std::chrono::steady_clock::time_point now;
  board.Tick(now);
  board.AddFetched(0, 1000);
  board.Tick(now += seconds(1));
  board.AddFetched(0, 2000);
  board.Tick(now += seconds(1));
  const double rate = board.Read().files[0].bytes_per_second;
  EXPECT_GT(rate, 1000);
  EXPECT_LT(rate, 2000);
}

TEST(ProgressTest, OnlyFilesThatAreDownloadedHaveARate) {
  ProgressBoard board;
  board.Begin({{.name = "a", .size_bytes = 1000}, {.name = "b", .size_bytes = 1000}});
  board.SetState(0, FileState::kDownloading);
  board.SetState(1, FileState::kDownloading);
  std::chrono::steady_clock::time_point now;
  board.Tick(now);
  board.AddFetched(0, 1000);
  board.AddFetched(1, 100);
  board.Tick(now += seconds(1));
  EXPECT_DOUBLE_EQ(board.Read().total.bytes_per_second, 1100);
  board.SetState(0, FileState::kVerifying);
  EXPECT_EQ(board.Read().files[0].bytes_per_second, 0);
  EXPECT_DOUBLE_EQ(board.Read().files[1].bytes_per_second, 100);
  board.End();
  EXPECT_EQ(board.Read().files[1].bytes_per_second, 0);
  EXPECT_EQ(board.Read().total.bytes_per_second, 0);
}

TEST(ProgressTest, NobodyWaitsForWhatAFailedFileLacks) {
  ProgressBoard board;
  board.Begin({{.name = "a", .size_bytes = 1000}, {.name = "b", .size_bytes = 1000}});
  board.SetPresent(0, 1000);
  board.SetPresent(1, 300);
  board.SetState(0, FileState::kDone);
  board.SetState(1, FileState::kFailed);
  const FileProgress total = board.Read().total;
  EXPECT_EQ(total.size_bytes, 1300U);
  EXPECT_EQ(total.present_bytes, 1300U);
  EXPECT_EQ(total.time_left, seconds(0));
}

TEST(ProgressTest, IsDoneOrFailedWhenAllAre) {
  ProgressBoard board;
  board.Begin({{.name = "a"}, {.name = "b"}});
  board.SetState(0, FileState::kDone);
  EXPECT_EQ(board.Read().total.state, FileState::kWaiting);
  board.SetState(1, FileState::kFailed);
  EXPECT_EQ(board.Read().total.state, FileState::kFailed);
  board.SetState(1, FileState::kDone);
  EXPECT_EQ(board.Read().total.state, FileState::kDone);
  EXPECT_EQ(FileStateName(FileState::kVerifying), "verifying");
}

}  // namespace
}  // namespace ncn::transfer
