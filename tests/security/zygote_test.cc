// What a zygote's children share with it and with one another: nothing that they can change.

#include <signal.h>

#include <set>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

std::string Status(int pid) {
  return *base::ReadFile(base::StrCat("/proc/", pid, "/status"), 1 << 16);
}

TEST(ZygoteTest, IsItselfInASandbox) {
  const auto zygote = StartTestZygote();
  ASSERT_TRUE(zygote.ok()) << zygote.status();
  EXPECT_TRUE((*zygote)->alive());
  const std::string status = Status((*zygote)->pid());
  EXPECT_THAT(status, ::testing::HasSubstr("Seccomp:\t2"));
  EXPECT_THAT(status, ::testing::HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(status, ::testing::HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(status, ::testing::HasSubstr("Threads:\t1"));
}

TEST(ZygoteTest, EachChildHasItsOwnTreeFilesAndProcessNumbers) {
  const auto zygote = StartTestZygote();
  ASSERT_TRUE(zygote.ok()) << zygote.status();
  const auto commands = CommandsOn(**zygote);
  const auto first = commands->Run(
      TestPolicy(), Shell("echo $$; echo secret > /work/a; ls -d /zygote /scratch /hostile 2>&1"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->stdout_tail.substr(0, 2), "1\n");
  EXPECT_THAT(first->stdout_tail, ::testing::HasSubstr("'/zygote': No such file"));
  EXPECT_THAT(first->stdout_tail, ::testing::HasSubstr("'/scratch': No such file"));
  const auto second = commands->Run(TestPolicy(), Shell("cat /work/a; ls /work | wc -l"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->stdout_tail, "0\n");
}

TEST(ZygoteTest, AChildShowsWhatTheZygoteShowsAndNothingElse) {
  const auto zygote = StartTestZygote();
  ASSERT_TRUE(zygote.ok()) << zygote.status();
  const auto commands = CommandsOn(**zygote);
  const ScratchFolder folder;
  ASSERT_TRUE(base::WriteFileAtomically(folder.path() + "/weights", "numbers", 0644).ok());
  const auto with = [&](const std::string& host) {
    return *PolicyBuilder()
                .UseHostSystem()
                .AddReadOnly(host, "/model")
                .SetLimits(TestLimits())
                .Build();
  };
  const auto shown = commands->Run(with(folder.path()), Shell("cat /model/weights"));
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(shown->stdout_tail, "numbers") << shown->stderr_tail;
  // /var is not below what the zygote shows, although the image's root is: only its own entries
  // are.
  const auto hidden = commands->Run(with("/var/lib"), Shell("ls /model"));
  EXPECT_FALSE(hidden.ok());
}

TEST(ZygoteTest, ItsEndIsNoticedAndEndsTheChildren) {
  const auto zygote = StartTestZygote();
  ASSERT_TRUE(zygote.ok()) << zygote.status();
  const auto commands = CommandsOn(**zygote);
  auto child = commands->Start(TestPolicy(), Hostile({"sleep_long", "60"}));
  ASSERT_TRUE(child.ok()) << child.status();
  ASSERT_TRUE((*child)->Verify().ok());
  ASSERT_TRUE((*child)->Release().ok());
  ::kill((*zygote)->pid(), SIGKILL);
  const auto outcome = (*child)->Wait({});
  EXPECT_EQ(outcome.status().code(), absl::StatusCode::kUnavailable);
  while ((*zygote)->alive()) std::this_thread::yield();
  EXPECT_FALSE(commands->Run(TestPolicy(), Shell("true")).ok());
}

TEST(ZygoteTest, ManyChildrenAtOnce) {
  const auto zygote = StartTestZygote();
  ASSERT_TRUE(zygote.ok()) << zygote.status();
  const auto commands = CommandsOn(**zygote);
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto outcome = commands->Run(TestPolicy(), Shell(base::StrCat("echo ", i)));
      if (outcome.ok() && outcome->stdout_tail == base::StrCat(i, "\n")) ++right;
    });
  }
  threads.clear();
  EXPECT_EQ(right, 8);
}

TEST(ZygoteTest, PermissiveModeHasNoneWhereNamespacesAreMissing) {
  Permissive().FailStepForTest(SetupStep::kPivot);
  const auto zygote = StartTestZygote(Permissive());
  Permissive().FailStepForTest(std::nullopt);
  EXPECT_EQ(zygote.status().code(), absl::StatusCode::kUnimplemented) << zygote.status();
}

TEST(ZygoteTest, DisabledModeHasNone) {
  EXPECT_EQ(Disabled().StartZygote(TestPolicy(), Shell("true")).status().code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace ncn::sandbox
