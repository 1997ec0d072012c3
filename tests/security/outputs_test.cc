#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/files.h"
#include "base/unique_fd.h"
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

TEST(OutputsTest, OneThatIsSwappedOrGrowsWhileItIsReadIsRefusedOrSound) {
  ScratchFolder folder;
  const auto at = [&](const std::string& name) { return folder.path() + "/" + name; };
  ASSERT_TRUE(base::WriteFileAtomically(at("secret"), "secret", 0644).ok());
  ASSERT_TRUE(base::WriteFileAtomically(at("out"), "fine", 0644).ok());
  std::filesystem::create_symlink(at("secret"), at("link"));
  std::filesystem::create_directory(at("folder"));
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  const base::UniqueFd work(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::jthread enemy([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      for (const char* other : {"link", "folder", "pipe"}) {
        ::renameat2(work.get(), "out", work.get(), other, RENAME_EXCHANGE);
        ::renameat2(work.get(), "out", work.get(), other, RENAME_EXCHANGE);
      }
      // From a file within its bound to one far beyond it.
      const base::UniqueFd out(
          ::openat(work.get(), "out", O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (out.get() < 0) continue;
      EXPECT_EQ(::ftruncate(out.get(), 100000), 0);
      EXPECT_EQ(::ftruncate(out.get(), 4), 0);
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto files = CollectFiles(work.get(), {{"out", 100}});
    ASSERT_EQ(files.size(), 1u);
    if (!files[0].bytes.has_value()) continue;
    ASSERT_LE(files[0].bytes->size(), 100u);
    EXPECT_EQ(files[0].bytes->substr(0, 4), "fine");
  }
}

TEST(OutputsTest, ACrashLeavesNoCore) {
  SandboxCommand command = Hostile({"dump_core"});
  command.collect = {{"core", 1 << 20}};
  const auto outcome = Strict().Run(TestPolicy(), command);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->Describe(), "killed by SIGABRT");
  EXPECT_EQ(outcome->files.at(0).absence, FileAbsence::kMissing);
}

TEST(OutputsTest, AnInputThatIsNeverReadHoldsNothingUp) {
  SandboxCommand command = Shell("exec true");
  command.files = {{"input", std::string(8 << 20, 'x')}};
  const auto outcome = Strict().Run(TestPolicy(), command);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->Succeeded()) << outcome->Describe();
}

}  // namespace
}  // namespace ncn::sandbox
