#include "base/logging.h"

#include "gtest/gtest.h"

namespace ncn::base {
namespace {

class LoggingTest : public testing::Test {
 protected:
  ~LoggingTest() override { EXPECT_TRUE(ConfigureLogging("").ok()); }
};

TEST_F(LoggingTest, DefaultsToInfo) {
  ASSERT_TRUE(ConfigureLogging("").ok());
  EXPECT_EQ(Log("alpha").level(), spdlog::level::info);
}

TEST_F(LoggingTest, LongestMatchingTargetWins) {
  ASSERT_TRUE(ConfigureLogging("warn,compute_node::sandbox=trace,compute_node=debug").ok());
  EXPECT_EQ(Log("sandbox").level(), spdlog::level::trace);
  EXPECT_EQ(Log("alpha").level(), spdlog::level::debug);
}

TEST_F(LoggingTest, TargetMatchesWholeNamesOnly) {
  ASSERT_TRUE(ConfigureLogging("compute_node::sand=trace").ok());
  EXPECT_EQ(Log("sandbox").level(), spdlog::level::info);
}

TEST_F(LoggingTest, BareTargetMeansTrace) {
  ASSERT_TRUE(ConfigureLogging("compute_node::node").ok());
  EXPECT_EQ(Log("node").level(), spdlog::level::trace);
}

TEST_F(LoggingTest, WrongLevelIsRefusedByName) {
  const absl::Status status = ConfigureLogging("compute_node::node=loud");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("compute_node::node=loud"), std::string::npos);
}

TEST_F(LoggingTest, EveryLineInsideAScopeNamesTheRequest) {
  testing::internal::CaptureStderr();
  {
    const ScopedRequestId outer("req-1");
    {
      const ScopedRequestId inner("req-2");
      Log("alpha").info("in");
    }
    Log("alpha").info("out");
  }
  Log("alpha").info("after");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("compute_node::alpha [req-2] in"), std::string::npos) << text;
  EXPECT_NE(text.find("compute_node::alpha [req-1] out"), std::string::npos) << text;
  EXPECT_NE(text.find("compute_node::alpha after"), std::string::npos) << text;
}

}  // namespace
}  // namespace ncn::base
