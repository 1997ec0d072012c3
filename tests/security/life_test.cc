// How sandboxes end, and that nothing stays behind.

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

std::size_t OpenDescriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

// Waits for a condition that another process brings about.
template <typename F>
bool Eventually(F&& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// 0 for a process that is gone.
int ParentOf(int pid) {
  const auto stat = base::ReadFile(base::StrCat("/proc/", pid, "/stat"), 4096);
  if (!stat.ok()) return 0;
  int parent = 0;
  std::istringstream(stat->substr(stat->rfind(')') + 3)) >> parent;  // ") S PARENT"
  return parent;
}

bool AnyCgroupNamed(const std::string& prefix) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry("/sys/fs/cgroup", error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().native().rfind(prefix, 0) == 0) return true;
  }
  return false;
}

TEST(SandboxLifeTest, AStopRequestKillsEvenWhoIsDeafToSignals) {
  auto process = Strict().Start(TestPolicy(), Hostile({"sleep_long", "60"}));
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->Verify().ok());
  ASSERT_TRUE((*process)->Release().ok());
  std::stop_source stop;
  stop.request_stop();
  const auto outcome = (*process)->Wait(stop.get_token());
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->kind, OutcomeKind::kKilled);
}

TEST(SandboxLifeTest, KillFromAnotherThreadEndsTheWait) {
  auto process = Strict().Start(TestPolicy(), Hostile({"sleep_long", "60"}));
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->Verify().ok());
  ASSERT_TRUE((*process)->Release().ok());
  std::jthread killer([&] { (*process)->Kill(); });
  const auto outcome = (*process)->Wait({});
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->kind, OutcomeKind::kKilled);
}

TEST(SandboxLifeTest, AGrandchildInASessionOfItsOwnDiesWithTheSandbox) {
  const auto outcome = Strict().Run(TestPolicy(), Hostile({"daemonise"}));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->Succeeded()) << outcome->Describe();
  EXPECT_THAT(ProcessesNamed("daemonise"), ::testing::IsEmpty());
}

TEST(SandboxLifeTest, AHeldSandboxThatIsDroppedLeavesNothing) {
  (void)Strict().Run(TestPolicy(), Shell("true"));
  const std::size_t before = OpenDescriptors();
  {
    auto process = Strict().Start(TestPolicy(), Hostile({"sleep_long", "60"}));
    ASSERT_TRUE(process.ok()) << process.status();
    const int pid = (*process)->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
    process->reset();
    EXPECT_NE(::kill(pid, 0), 0);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(SandboxLifeTest, AHundredInARowLeaveNoDescriptor) {
  const SandboxPolicy policy = TestPolicy();
  (void)Strict().Run(policy, Shell("true"));
  const std::size_t before = OpenDescriptors();
  for (int i = 0; i < 100; ++i) {
    const auto outcome = Strict().Run(policy, Hostile({i % 2 == 0 ? "trace_child" : "dump_core"}));
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(SandboxLifeTest, AMiniInitThatDiesWhileItWaitsForWorkIsReplaced) {
  ASSERT_TRUE(Strict().Run(TestPolicy(), Shell("true")).ok());
  // Nothing runs now, so every process below the launcher was cloned ahead.
  int killed = 0;
  for (const int pid : ProcessesNamed("sandbox_launcher")) {
    if (ParentOf(ParentOf(pid)) == ::getpid() && ::kill(pid, SIGKILL) == 0) ++killed;
  }
  EXPECT_EQ(killed, 1);
  const auto outcome = Strict().Run(TestPolicy(), Shell("echo fine"));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->stdout_tail, "fine\n");
}

TEST(SandboxLifeTest, ManyThreadsRunManySandboxesAtOnce) {
  const SandboxPolicy policy = TestPolicy();
  std::vector<std::future<bool>> results;
  for (int i = 0; i < 8; ++i) {
    results.push_back(std::async(std::launch::async, [&policy, i] {
      for (int k = 0; k < 5; ++k) {
        const std::string text = std::to_string(i * 100 + k);
        const auto outcome = Strict().Run(policy, Shell("echo " + text));
        if (!outcome.ok() || outcome->stdout_tail != text + "\n") return false;
      }
      return true;
    }));
  }
  for (auto& result : results) EXPECT_TRUE(result.get());
}

TEST(SandboxLifeTest, NothingSurvivesWhenTheNodeIsKilled) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  std::string program = NCN_HOLDER, launcher = NCN_LAUNCHER, hostile = NCN_HOSTILE_FOLDER;
  char* argv[] = {program.data(), launcher.data(), hostile.data(), nullptr};
  pid_t node = -1;
  ASSERT_EQ(::posix_spawn(&node, NCN_HOLDER, &actions, nullptr, argv, environ), 0);
  ::close(ends[1]);
  // It tells its launcher and its sandboxes, and then that all run.
  std::string told;
  char byte = 0;
  while (told.find("ready\n") == std::string::npos && ::read(ends[0], &byte, 1) == 1) told += byte;
  ::close(ends[0]);
  ::posix_spawn_file_actions_destroy(&actions);
  ASSERT_THAT(told, ::testing::HasSubstr("ready\n"));

  ::kill(node, SIGKILL);
  ::waitpid(node, nullptr, 0);
  std::istringstream pids(told);
  for (int pid = 0; pids >> pid;) {
    EXPECT_TRUE(Eventually([pid] { return ::kill(pid, 0) != 0; })) << pid;
  }
  const std::string prefix = "ncn-" + std::to_string(node) + "-";
  EXPECT_TRUE(Eventually([&] { return !AnyCgroupNamed(prefix); }));
}

}  // namespace
}  // namespace ncn::sandbox
