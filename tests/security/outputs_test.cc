#include <sys/stat.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/workspace.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

TEST(OutputsTest, OnlySoundOnesAreReadAndTheOthersSayWhy) {
  SandboxCommand command = Shell(
      "mkdir folder; head -c 65536 /dev/zero > large; echo fine > fine; echo x > linked; "
      "ln linked other");
  command.collect = {
      {"folder", 100}, {"large", 65535}, {"fine", 5}, {"linked", 100}, {"missing", 100}};
  const auto outcome = Strict().Run(TestPolicy(), command);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_EQ(outcome->files.size(), 5u);
  EXPECT_EQ(outcome->files[0].absence, FileAbsence::kNotRegular);
  EXPECT_EQ(outcome->files[1].absence, FileAbsence::kTooLarge);
  ASSERT_NE(outcome->File("fine"), nullptr);
  EXPECT_EQ(*outcome->File("fine"), "fine\n");
  EXPECT_EQ(outcome->files[4].absence, FileAbsence::kMissing);
}

TEST(OutputsTest, AProcessThatIsLeftBehindCannotChangeThem) {
  SandboxCommand command = Hostile({"race_output"});
  command.collect = {{"fine", 100}};
  for (int i = 0; i < 10; ++i) {
    const auto outcome = Strict().Run(TestPolicy(), command);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    // It was dead before it was read: whole, or empty between its two calls, but never an error.
    ASSERT_NE(outcome->File("fine"), nullptr) << Name(outcome->files[0].absence);
    EXPECT_TRUE(*outcome->File("fine") == "changed" || outcome->File("fine")->empty());
  }
}

}  // namespace
}  // namespace ncn::sandbox
