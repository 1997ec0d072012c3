#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/probe.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SandboxTest, StrictPutsEveryLayerInForce) {
  const auto outcome = Strict().Run(TestPolicy(), Shell("true"));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->Succeeded());
  EXPECT_THAT(outcome->missing, IsEmpty());
  for (const char* layer :
       {"user-namespace", "pid-namespace", "mount-namespace", "network-namespace", "ipc-namespace",
        "uts-namespace", "cgroup-namespace", "seccomp", "rlimits", "no-capabilities",
        "no-new-privileges"}) {
    EXPECT_THAT(outcome->layers, Contains(layer));
  }
  EXPECT_THAT(outcome->layers, Contains(HasSubstr("landlock-abi-")));
}

TEST(SandboxTest, StrictGivesTheCommandItsFilesAndReadsItsOutputBack) {
  SandboxCommand command = Shell("cat in.txt > out.txt; id -u; hostname; pwd; echo oops >&2");
  command.files = {{"in.txt", "question"}};
  command.collect = {{"out.txt", 100}};
  const auto outcome = Strict().Run(TestPolicy(), command);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_NE(outcome->File("out.txt"), nullptr) << outcome->stderr_tail;
  EXPECT_EQ(*outcome->File("out.txt"), "question");
  EXPECT_EQ(outcome->stdout_tail, "1000\nsandbox\n/work\n");
  EXPECT_EQ(outcome->stderr_tail, "oops\n");
}

TEST(SandboxTest, HasExactlyTheEnvironmentThatWasGiven) {
  ::setenv("COMPUTE_NODE_PRIVATE_KEY", "0xsecret", 1);
  SandboxCommand command = Shell("env");
  command.environment = {"PATH=/usr/bin", "A=b"};
  const auto outcome = Strict().Run(TestPolicy(), command);
  ::unsetenv("COMPUTE_NODE_PRIVATE_KEY");
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  // PWD is the shell's own.
  EXPECT_EQ(outcome->stdout_tail, "A=b\nPATH=/usr/bin\nPWD=/work\n");
}

TEST(SandboxTest, ShowsNothingButItsOwnTree) {
  const auto outcome = Strict().Run(
      TestPolicy(),
      Shell("for f in /root /home /var /sys /mnt /boot /run /hostile; do test -e $f && "
            "echo $f; done; echo /dev/*"));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  // The names in /dev are not to be listed, so the pattern stays as it is.
  EXPECT_EQ(outcome->stdout_tail, "/hostile\n/dev/*\n");
}

TEST(SandboxTest, ReportsExitCodesAndSignals) {
  const auto exited = Strict().Run(TestPolicy(), Shell("exit 7"));
  ASSERT_TRUE(exited.ok()) << exited.status();
  EXPECT_EQ(exited->Describe(), "exit code 7");
  const auto crashed = Strict().Run(TestPolicy(), Shell("kill -SEGV $$"));
  ASSERT_TRUE(crashed.ok()) << crashed.status();
  EXPECT_EQ(crashed->Describe(), "killed by SIGSEGV");
}

TEST(SandboxTest, CannotRunAProgramThatIsNotThere) {
  SandboxCommand command = Shell("");
  command.argv[0] = "/usr/bin/no-such-program";
  const auto outcome = Strict().Run(TestPolicy(), command);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(std::string(outcome.status().message()),
              HasSubstr("/usr/bin/no-such-program: ENOENT"));
}

TEST(SandboxTest, RefusesABindThatItsUserCannotRead) {
  if (::geteuid() != 0) return;  // One's own files can be read.
  ScratchFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0700), 0);
  const auto policy = PolicyBuilder().UseHostSystem().AddReadOnly(folder.path(), "/model").Build();
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto outcome = Strict().Run(*policy, Shell("true"));
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("chmod o+rX"));
}

TEST(SandboxTest, RefusesASourceThatWasSwappedForASymbolicLink) {
  ScratchFolder folder;
  const std::string model = folder.path() + "/model";
  ASSERT_TRUE(std::filesystem::create_directory(model));
  const auto policy = PolicyBuilder().UseHostSystem().AddReadOnly(model, "/model").Build();
  ASSERT_TRUE(policy.ok()) << policy.status();
  std::filesystem::remove(model);
  std::filesystem::create_directory_symlink("/etc", model);
  const auto outcome = Strict().Run(*policy, Shell("cat /model/passwd"));
  EXPECT_FALSE(outcome.ok()) << outcome->stdout_tail;
}

TEST(SandboxTest, ABindOfAModelIsReadOnlyAndNothingInItRuns) {
  ScratchFolder folder;
  std::filesystem::copy_file("/usr/bin/true", folder.path() + "/true");
  const auto policy = PolicyBuilder().UseHostSystem().AddReadOnly(folder.path(), "/model").Build();
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto outcome = Strict().Run(
      *policy, Shell("test -r /model/true && echo readable; /model/true; echo $?; : > /model/x"));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(outcome->stdout_tail, HasSubstr("readable\n126\n"));
  EXPECT_THAT(outcome->stderr_tail, HasSubstr("cannot create /model/x"));
}

TEST(SandboxTest, TwoSandboxesShareNothing) {
  const SandboxPolicy policy = TestPolicy();
  auto first = Strict().Start(policy, Shell("echo secret > /dev/shm/a; echo secret > /tmp/a; "
                                            "echo secret > /work/a; sleep 60"));
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE((*first)->Verify().ok());
  ASSERT_TRUE((*first)->Release().ok());
  const auto second =
      Strict().Run(policy, Shell("cat /dev/shm/a /tmp/a /work/a; readlink /proc/*/exe"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->stdout_tail, "");
  EXPECT_FALSE(std::filesystem::exists("/dev/shm/a"));
}

TEST(SandboxTest, IsReleasedOnlyAfterItWasVerified) {
  auto process = Strict().Start(TestPolicy(), Shell("echo ran"));
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_FALSE((*process)->Release().ok());
  EXPECT_TRUE((*process)->Verify().ok());
  EXPECT_TRUE((*process)->Release().ok());
  EXPECT_FALSE((*process)->Release().ok());
  const auto outcome = (*process)->Wait({});
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->stdout_tail, "ran\n");
}

TEST(SandboxTest, PermissiveWithoutAnyNamespaceStillFilesAndLimits) {
  Permissive().FailStepForTest(SetupStep::kPivot);
  SandboxCommand command = Shell("cat /work/in.txt > out.txt; cat out.txt");
  command.argv = {"/usr/bin/cp", "/work/in.txt", "/work/out.txt"};
  command.files = {{"in.txt", "question"}};
  command.collect = {{"out.txt", 100}};
  const auto outcome = Permissive().Run(TestPolicy(), command);
  const auto attack = Permissive().Run(TestPolicy(), Hostile({"trace_child"}));
  const auto passwd = Permissive().Run(TestPolicy(), Hostile({"open_for_reading", "/etc/passwd"}));
  Permissive().FailStepForTest(std::nullopt);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_NE(outcome->File("out.txt"), nullptr) << outcome->stderr_tail;
  EXPECT_EQ(*outcome->File("out.txt"), "question");
  ASSERT_TRUE(attack.ok()) << attack.status();
  EXPECT_EQ(attack->violation.name, "ptrace");
  ASSERT_TRUE(passwd.ok()) << passwd.status();
  EXPECT_EQ(passwd->Describe(), "exit code 1") << passwd->stderr_tail;
}

TEST(SandboxTest, TheProbeAgreesWithStrictMode) {
  const std::vector<LayerProbe> layers = ProbeLayers(NCN_LAUNCHER);
  EXPECT_GT(layers.size(), 10u);
  EXPECT_EQ(StrictWouldRun(layers), Strict().Run(TestPolicy(), Shell("true")).ok());
  for (const LayerProbe& layer : layers) {
    EXPECT_TRUE(layer.available || !layer.cure.empty()) << layer.layer;
  }
  const std::vector<LayerProbe> broken = ProbeLayers("/no/such/launcher");
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_FALSE(StrictWouldRun(broken));
  EXPECT_THAT(broken[0].detail, HasSubstr("/no/such/launcher"));
}

TEST(SandboxTest, DisabledKeepsWallClockAndWorkspace) {
  inference::ExecutionLimits limits = TestLimits();
  limits.wall_clock = std::chrono::milliseconds(200);
  const auto slow = Disabled().Run(TestPolicy(limits), Hostile({"sleep_long", "60"}));
  ASSERT_TRUE(slow.ok()) << slow.status();
  EXPECT_EQ(slow->kind, OutcomeKind::kTimedOut);
  EXPECT_THAT(slow->missing, ::testing::Not(IsEmpty()));
  SandboxCommand command;
  command.argv = {"/usr/bin/cp", "/work/in.txt", "/work/out.txt"};
  command.files = {{"in.txt", "question"}};
  command.collect = {{"out.txt", 100}};
  const auto copied = Disabled().Run(TestPolicy(), command);
  ASSERT_TRUE(copied.ok()) << copied.status();
  ASSERT_NE(copied->File("out.txt"), nullptr) << copied->stderr_tail;
}

}  // namespace
}  // namespace ncn::sandbox
