#include "sandbox/sandbox_outcome.h"

#include <csignal>

#include "gtest/gtest.h"

namespace ncn::sandbox {
namespace {

TEST(SandboxOutcomeTest, DescribesHowItEndedInOneLine) {
  SandboxOutcome outcome;
  outcome.kind = OutcomeKind::kTimedOut;
  outcome.limit_wall = std::chrono::seconds(300);
  EXPECT_EQ(outcome.Describe(), "Timeout after 300s");
  outcome.kind = OutcomeKind::kViolation;
  outcome.violation = {101, "ptrace"};
  EXPECT_EQ(outcome.Describe(), "forbidden system call ptrace(101)");
  outcome.kind = OutcomeKind::kSignalled;
  outcome.signal = SIGSEGV;
  EXPECT_EQ(outcome.Describe(), "killed by SIGSEGV");
  outcome.kind = OutcomeKind::kExited;
  outcome.exit_code = 3;
  EXPECT_EQ(outcome.Describe(), "exit code 3");
  EXPECT_FALSE(outcome.Succeeded());
}

TEST(SandboxOutcomeTest, FindsTheDeniedPathInWhatProgramsSay) {
  const auto denied = [](std::string text) {
    SandboxOutcome outcome;
    outcome.stderr_tail = std::move(text);
    return outcome.DeniedPath().value_or("none");
  };
  EXPECT_EQ(denied("Traceback\nPermissionError: [Errno 13] Permission denied: '/some/path'\n"),
            "/some/path");
  EXPECT_EQ(denied("cat: /etc/passwd: Permission denied\n"), "/etc/passwd");
  EXPECT_EQ(denied("sh: 1: cannot create /x: Permission denied"), "/x");
  EXPECT_EQ(denied("Permission denied"), "none");
  EXPECT_EQ(denied("all is well"), "none");
  EXPECT_EQ(denied(""), "none");
}

}  // namespace
}  // namespace ncn::sandbox
