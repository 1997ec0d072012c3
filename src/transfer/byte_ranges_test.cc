#include "transfer/byte_ranges.h"

#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::transfer {
namespace {

using ::testing::ElementsAre;

TEST(ByteRangesTest, JoinsWhatTouchesOrOverlaps) {
  ByteRanges set;
  set.Add({10, 20});
  set.Add({30, 40});
  set.Add({20, 25});
  set.Add({24, 31});
  EXPECT_THAT(set.ranges(), ElementsAre(ByteRange{10, 40}));
  EXPECT_EQ(set.size_bytes(), 30U);
}

TEST(ByteRangesTest, CountsThePrefixOnlyFromTheFilesBegin) {
  ByteRanges set;
  set.Add({5, 10});
  EXPECT_EQ(set.prefix_bytes(), 0U);
  set.Add({0, 5});
  EXPECT_EQ(set.prefix_bytes(), 10U);
}

TEST(ByteRangesTest, CutsHolesIntoRanges) {
  ByteRanges set;
  set.Add({0, 100});
  set.Remove({40, 60});
  set.Remove({90, 200});
  EXPECT_THAT(set.ranges(), ElementsAre(ByteRange{0, 40}, ByteRange{60, 90}));
  EXPECT_EQ(set.FirstGap(0, 100), (ByteRange{40, 60}));
  EXPECT_EQ(set.FirstGap(50, 100), (ByteRange{50, 60}));
  EXPECT_EQ(set.FirstGap(60, 80), (ByteRange{80, 80}));
}

TEST(ByteRangesTest, AgreesWithASetOfSingleBytes) {
  std::mt19937 random(7);
  ByteRanges set;
  std::set<std::uint64_t> bytes;
  for (int step = 0; step < 2000; ++step) {
    const std::uint64_t begin = random() % 100;
    const std::uint64_t end = begin + random() % 20;
    const bool add = random() % 2 == 0;
    add ? set.Add({begin, end}) : set.Remove({begin, end});
    for (std::uint64_t byte = begin; byte < end; ++byte) {
      add ? void(bytes.insert(byte)) : void(bytes.erase(byte));
    }
    ASSERT_EQ(set.size_bytes(), bytes.size());
    const ByteRange gap = set.FirstGap(0, 150);
    std::uint64_t expected = 0;
    while (bytes.contains(expected)) ++expected;
    ASSERT_EQ(gap.begin, expected);
    ASSERT_EQ(set.prefix_bytes(), expected);
    while (expected < 150 && !bytes.contains(expected)) ++expected;
    ASSERT_EQ(gap.end, expected);
  }
}

}  // namespace
}  // namespace ncn::transfer
