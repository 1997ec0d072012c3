#include "sync/progress_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::sync {
namespace {

transfer::FileProgress Half() {
  return {.name = "bark/weights.pt",
          .state = transfer::FileState::kDownloading,
          .size_bytes = 4ULL << 30,
          .present_bytes = 2ULL << 30,
          .bytes_per_second = 64 << 20,
          .time_left = std::chrono::seconds(95)};
}

TEST(ProgressTextTest, SaysAmountsInTheUnitThatFits) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1536), "1.5 KiB");
  EXPECT_EQ(BytesText(3ULL << 40), "3.0 TiB");
}

TEST(ProgressTextTest, SaysShareRateAndTimeLeft) {
  EXPECT_EQ(ProgressLine(Half()), "2.0 GiB of 4.0 GiB (50 %), 64.0 MiB/s, 1 min 35 s left");
  EXPECT_EQ(ProgressLine({.size_bytes = 10}), "0 B of 10 B (0 %)");
}

TEST(ProgressTextTest, DrawsABarForEachMovingFileAndOneForAllWithinTheWidth) {
  transfer::TransferProgress progress{.total = Half(), .files = {Half(), {}, Half(), Half()}};
  progress.total.name = "total";
  for (const std::size_t width : {20u, 60u, 100u, 200u}) {
    const auto lines = ProgressBars(progress, width, 2);
    ASSERT_EQ(lines.size(), 3u);
    for (const std::string& line : lines) EXPECT_LE(line.size(), width);
  }
  EXPECT_THAT(ProgressBars(progress, 100, 2)[0], testing::HasSubstr("[###"));
}

}  // namespace
}  // namespace ncn::sync
