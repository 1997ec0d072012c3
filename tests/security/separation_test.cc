// Two sandboxes at once have nothing in common but read-only files, and what is bound into one
// cannot be exchanged on the way.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

constexpr std::size_t kBytesMax = 1 << 20;
constexpr int kRaces = 100;

std::string Proc(int pid, const std::string& name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

std::string Link(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::read_symlink(path, ignored);
}

// The device numbers of the file systems that a process may write to, devices aside.
std::set<std::string> WritableFileSystems(int pid) {
  std::set<std::string> found;
  const auto mounts = base::ReadFile(Proc(pid, "mountinfo"), kBytesMax);
  std::istringstream lines(mounts.ok() ? *mounts : "");
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, place, options;
    fields >> id >> parent >> device >> root >> place >> options;
    const bool is_device = place.rfind("/dev/", 0) == 0 && place != kSharedMemoryFolder;
    if (!is_device && options.rfind("rw", 0) == 0) found.insert(device);
  }
  return found;
}

class TwoSandboxes : public ::testing::Test {
 protected:
  void SetUp() override {
    for (auto* process : {&first_, &second_}) {
      auto started = Strict().Start(TestPolicy(), Hostile({"sleep_long", "60"}));
      ASSERT_TRUE(started.ok()) << started.status();
      *process = *std::move(started);
      ASSERT_TRUE((*process)->Verify().ok());
    }
  }

  std::unique_ptr<SandboxedProcess> first_;
  std::unique_ptr<SandboxedProcess> second_;
};

TEST_F(TwoSandboxes, HaveNoNamespaceInCommon) {
  for (const char* name : {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"}) {
    const std::string space = std::string("ns/") + name;
    const std::set<std::string> different = {Link(Proc(first_->pid(), space)),
                                             Link(Proc(second_->pid(), space)),
                                             Link(Proc(::getpid(), space)), ""};
    EXPECT_EQ(different.size(), 4u) << name;
  }
}

TEST_F(TwoSandboxes, CanWriteToNoFileSystemOfTheOtherOrOfTheHost) {
  const std::set<std::string> first = WritableFileSystems(first_->pid());
  const std::set<std::string> second = WritableFileSystems(second_->pid());
  const std::set<std::string> host = WritableFileSystems(::getpid());
  EXPECT_FALSE(first.empty());
  for (const std::string& device : first) {
    EXPECT_FALSE(second.contains(device)) << device;
    EXPECT_FALSE(host.contains(device)) << device;
  }
}

TEST_F(TwoSandboxes, ReachOneAnotherByNoChannel) {
  ASSERT_TRUE(first_->Release().ok());
  const std::string pid = std::to_string(first_->pid());
  const std::string shared = "/hostile/lock_file";
  const std::vector<std::vector<std::string>> channels = {
      {"signal_process", pid},
      {"open_for_reading", Proc(first_->pid(), "status")},
      {"open_for_reading", Proc(first_->pid(), "root/work")},
      {"lock_file", shared, "flock"},
      {"lock_file", shared, "record"},
      {"lock_file", shared, "open"},
      {"lock_file", shared, "lease"},
      {"watch_file", shared},
      {"name_socket_pair"},
      {"connect_unix", "@ncn-meeting-point"},
      {"sysv_memory"},
      {"sysv_queue"},
      {"sysv_semaphore"},
      {"posix_queue"},
  };
  for (const std::vector<std::string>& words : channels) {
    const auto outcome = Strict().Run(TestPolicy(), Hostile(words));
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->Describe(), "exit code 1") << words[0];
    EXPECT_THAT(outcome->stderr_tail, ::testing::HasSubstr("stopped by")) << words[0];
  }
}

TEST(SeparationTest, AModelIsNotSeenBesideAnother) {
  ScratchFolder folder;
  for (const char* name : {"mine", "other"}) {
    std::filesystem::create_directory(folder.path() + "/" + name);
    ASSERT_TRUE(
        base::WriteFileAtomically(folder.path() + "/" + name + "/weights", name, 0644).ok());
  }
  const auto policy = PolicyBuilder()
                          .UseHostSystem()
                          .AddReadOnly(folder.path() + "/mine", "/model")
                          .SetLimits(TestLimits())
                          .Build();
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto outcome = Strict().Run(*policy, Shell("cat /model/weights /model/../other/weights " +
                                                   folder.path() + "/other/weights; ls /model/.."));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->stdout_tail, "mine");
}

// A model's folder that somebody exchanges all the time for a symbolic link to a secret.
class Exchange : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const char* name : {"model", "secret"}) {
      std::filesystem::create_directories(path(name) + "/inner");
      ASSERT_TRUE(base::WriteFileAtomically(path(name) + "/inner/word", name, 0644).ok());
      ASSERT_TRUE(base::WriteFileAtomically(path(name) + "/word", name, 0644).ok());
    }
    std::filesystem::create_directory_symlink(path("secret"), path("link"));
  }

  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }

  ScratchFolder folder_;
};

TEST_P(Exchange, OfASourceWhileMountsAreMadeNeverShowsWhatWasNotMeant) {
  const auto policy = PolicyBuilder()
                          .UseHostSystem()
                          .AddReadOnly(path(GetParam()), "/model")
                          .SetLimits(TestLimits())
                          .Build();
  ASSERT_TRUE(policy.ok()) << policy.status();
  std::jthread exchanger([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      ::renameat2(AT_FDCWD, path("model").c_str(), AT_FDCWD, path("link").c_str(), RENAME_EXCHANGE);
    }
  });
  int refused = 0;
  for (int i = 0; i < kRaces; ++i) {
    const auto outcome = Strict().Run(*policy, Shell("cat /model/word"));
    if (outcome.ok()) {
      EXPECT_EQ(outcome->stdout_tail, "model") << outcome->stderr_tail;
    }
    refused += outcome.ok() ? 0 : 1;
  }
  std::printf("refused: %d of %d\n", refused, kRaces);
}

INSTANTIATE_TEST_SUITE_P(Sources, Exchange, ::testing::Values("model", "model/inner"),
                         [](const auto& source) {
                           return std::string(source.index == 0 ? "TheFolder" : "AFolderAbove");
                         });

TEST(SeparationTest, ASetUserIdProgramOfTheHostGainsNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a program that becomes root";
  ScratchFolder folder;
  const std::string program = folder.path() + "/program";
  std::filesystem::copy_file(std::string(NCN_HOSTILE_FOLDER) + "/run_set_uid", program);
  ASSERT_EQ(::chown(program.c_str(), 0, 0), 0);
  ASSERT_EQ(::chmod(program.c_str(), 04755), 0);
  const auto policy = PolicyBuilder()
                          .UseHostSystem()
                          .AddReadOnlyExecutable(NCN_HOSTILE_FOLDER, "/hostile")
                          .AddReadOnlyExecutable(folder.path(), "/bound")
                          .SetLimits(TestLimits())
                          .Build();
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto outcome = Strict().Run(*policy, Hostile({"run_set_uid", "/bound/program"}));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->Describe(), "exit code 1") << outcome->stderr_tail;
  // It ran, as nobody in particular.
  EXPECT_THAT(outcome->stderr_tail, ::testing::HasSubstr("EPERM"));
  const auto control = Disabled().Run(TestPolicy(), Hostile({"run_set_uid", program}));
  ASSERT_TRUE(control.ok()) << control.status();
  EXPECT_TRUE(control->Succeeded()) << control->Describe() << control->stderr_tail;
}

// The path that a bind was made of may lead elsewhere by the time that somebody looks.
TEST(SandboxSeparationTest, WhatIsMountedCanBeLookedAtFromOutside) {
  for (Sandbox* sandbox : {static_cast<Sandbox*>(&Strict()), &Disabled()}) {
    const ScratchFolder scratch;
    const std::string file = scratch.path() + "/file";
    std::ofstream(file) << "mounted";
    struct stat wanted;
    ASSERT_EQ(::stat(file.c_str(), &wanted), 0);
    const auto policy = PolicyBuilder()
                            .UseHostSystem()
                            .SetProfile(SeccompProfile::kPython)
                            .SetLimits(TestLimits())
                            .AddReadOnly(file, "/model/file")
                            .Build();
    ASSERT_TRUE(policy.ok()) << policy.status();
    SandboxCommand command;
    command.argv = {"/usr/bin/true"};
    auto process = sandbox->Start(*policy, std::move(command));
    ASSERT_TRUE(process.ok()) << process.status();
    ASSERT_TRUE((*process)->Verify().ok());
    if (sandbox != &Disabled()) {
      std::filesystem::rename(file, scratch.path() + "/moved");
      std::ofstream(file) << "in its place";
    }
    const absl::StatusOr<base::UniqueFd> seen = (*process)->OpenInside("/model/file");
    ASSERT_TRUE(seen.ok()) << seen.status();
    struct stat found;
    ASSERT_EQ(::fstat(seen->get(), &found), 0);
    EXPECT_EQ(found.st_ino, wanted.st_ino);
    EXPECT_EQ(found.st_dev, wanted.st_dev);
    EXPECT_FALSE((*process)->OpenInside("/model/none").ok());
    EXPECT_FALSE((*process)->OpenInside("/model/../etc/shadow").ok());
    // It tells nothing of the host: the process's own root is where paths begin.
    EXPECT_FALSE((*process)->OpenInside(scratch.path()).ok());
  }
}

TEST(SandboxSeparationTest, WhatAZygotesChildHasMountedCanBeLookedAtFromOutside) {
  auto process = OnZygote().Start(TestPolicy(), Hostile({"spin"}));
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->Verify().ok());
  const absl::StatusOr<base::UniqueFd> seen = (*process)->OpenInside("/hostile");
  ASSERT_TRUE(seen.ok()) << seen.status();
  struct stat found;
  struct stat wanted;
  ASSERT_EQ(::fstat(seen->get(), &found), 0);
  ASSERT_EQ(::stat(NCN_HOSTILE_FOLDER, &wanted), 0);
  EXPECT_EQ(found.st_ino, wanted.st_ino);
  EXPECT_EQ(found.st_dev, wanted.st_dev);
}

}  // namespace
}  // namespace ncn::sandbox
