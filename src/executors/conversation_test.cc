#include "executors/conversation.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "executors/executor_report.h"
#include "gtest/gtest.h"

namespace ncn::executors {
namespace {

base::SteadyTime In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}
constexpr std::chrono::seconds kSoon{30};

struct Pair {
  Pair() {
    auto ends = Conversation::MakeEnds();
    ours.emplace(std::move(ends->ours));
    theirs = std::move(ends->theirs);
  }
  void Say(std::string_view bytes) {
    EXPECT_EQ(::write(theirs.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  std::optional<Conversation> ours;
  base::UniqueFd theirs;
};

std::string Lengths(std::uint32_t header, std::uint64_t body) {
  std::string bytes(reinterpret_cast<const char*>(&header), 4);
  return bytes.append(reinterpret_cast<const char*>(&body), 8);
}

TEST(ConversationTest, AFrameOfAnySizeComesBack) {
  for (const std::size_t size : {0UL, 1UL, 100'000UL, 20'000'000UL}) {
    Pair pair;
    Conversation other(std::move(pair.theirs));
    const std::string body(size, 'b');
    std::jthread sender([&] { EXPECT_TRUE(other.Send("{}", body, In(kSoon)).ok()); });
    const auto frame = pair.ours->Receive(size, In(kSoon));
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_EQ(frame->header, "{}");
    EXPECT_TRUE(frame->body == body);
  }
}

TEST(ConversationTest, FramesThatComeTogetherAreReadOneByOne) {
  Pair pair;
  pair.Say(Lengths(2, 3) + "{}abc" + Lengths(1, 1) + "xy" + Lengths(0, 0));
  for (const char* whole : {"{}abc", "xy", ""}) {
    EXPECT_TRUE(pair.ours->Disturbed());
    const auto frame = pair.ours->Receive(10, In(kSoon));
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_EQ(frame->header + frame->body, whole);
  }
  EXPECT_FALSE(pair.ours->Disturbed());
}

TEST(ConversationTest, WhatIsTooLargeIsRefusedBeforeItIsRead) {
  Pair pair;
  pair.Say(Lengths(2, 11) + "{}");
  EXPECT_TRUE(absl::IsResourceExhausted(pair.ours->Receive(10, In(kSoon)).status()));
  Pair other;
  other.Say(Lengths(kReportBytesMax + 1, 0));
  EXPECT_TRUE(absl::IsInvalidArgument(other.ours->Receive(10, In(kSoon)).status()));
}

TEST(ConversationTest, EveryCutIsTheEndOfTheChild) {
  const std::string whole = Lengths(2, 3) + "{}abc";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Pair pair;
    pair.Say(whole.substr(0, size));
    pair.theirs.reset();
    EXPECT_TRUE(absl::IsUnavailable(pair.ours->Receive(10, In(kSoon)).status())) << size;
  }
}

TEST(ConversationTest, WhoSaysNothingAndWhoTakesNothingRunsOutOfTime) {
  Pair pair;
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(pair.ours->Receive(10, In(std::chrono::milliseconds(20))).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      pair.ours->Send("{}", std::string(64 << 20, 'b'), In(std::chrono::milliseconds(20)))));
}

TEST(ConversationTest, WhoWaitsIsWokenByItsEnd) {
  Pair pair;
  std::jthread ender([&] { pair.ours->Shutdown(); });
  EXPECT_TRUE(absl::IsUnavailable(pair.ours->Receive(10, In(kSoon)).status()));
  EXPECT_TRUE(absl::IsUnavailable(pair.ours->Send("{}", "", In(kSoon))));
}

TEST(ConversationTest, SeesWhatComesUnasked) {
  Pair pair;
  EXPECT_FALSE(pair.ours->Disturbed());
  pair.Say("x");
  EXPECT_TRUE(pair.ours->Disturbed());
  Pair ended;
  ended.theirs.reset();
  EXPECT_TRUE(ended.ours->Disturbed());
}

}  // namespace
}  // namespace ncn::executors
