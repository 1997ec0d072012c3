#include "executors/zygotes.h"

#include <unistd.h>

#include <fstream>

#include "base/fake_clock.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::executors {
namespace {

using std::chrono::milliseconds;

class FrameworkForTest : public ::testing::Test {
 public:
  ~FrameworkForTest() override { std::filesystem::remove_all(model_.root); }

 protected:
  FrameworkForTest() {
    std::string name = ::testing::TempDir() + "framework.XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    model_.root = name;
    model_.manifest.executor_script = "own.py";
  }

  Framework For(const Executor& executor, models::ModelFormat format,
                const std::string& script = "") {
    std::ofstream(model_.root / "own.py") << script;
    model_.format = format;
    return FrameworkFor(executor, model_);
  }

  models::Model model_{.id = *inference::ModelId::Parse("m")};
  const Executor own_{.name = "m:own.py", .inside_path = "/model/own.py", .sha256 = ""};
  const Executor generic_{.name = "generic.py", .inside_path = "/executors/generic.py"};
};

TEST_F(FrameworkForTest, FollowsTheFormatOfTheModel) {
  EXPECT_EQ(For(generic_, models::ModelFormat::kOnnx), Framework::kOnnxRuntime);
  EXPECT_EQ(For(generic_, models::ModelFormat::kSafetensors), Framework::kTorch);
}

TEST_F(FrameworkForTest, AScriptThatSpeaksOfNoFrameworkGetsNone) {
  EXPECT_EQ(For(own_, models::ModelFormat::kSafetensors, "import json"), Framework::kPlain);
  EXPECT_EQ(For(own_, models::ModelFormat::kSafetensors, "import torch"), Framework::kTorch);
  EXPECT_EQ(For(own_, models::ModelFormat::kOnnx, "import onnxruntime"), Framework::kOnnxRuntime);
}

// A sandbox whose zygotes live until a test ends them.
class FakeSandbox final : public sandbox::Sandbox {
 public:
  class FakeZygote final : public sandbox::Zygote {
   public:
    FakeZygote(FakeSandbox& sandbox, int pid) : sandbox_(sandbox), pid_(pid) {}
    sandbox::Sandbox& children() override { return sandbox_; }
    bool alive() const override { return pid_ > sandbox_.dead_up_to; }
    int pid() const override { return pid_; }

   private:
    FakeSandbox& sandbox_;
    const int pid_;
  };

  sandbox::SandboxMode mode() const override { return sandbox::SandboxMode::kStrict; }
  absl::StatusOr<std::unique_ptr<sandbox::SandboxedProcess>> Start(
      const sandbox::SandboxPolicy&, sandbox::SandboxCommand) override {
    return absl::UnimplementedError("it is a fake");
  }
  absl::StatusOr<std::unique_ptr<sandbox::Zygote>> StartZygote(const sandbox::SandboxPolicy&,
                                                               sandbox::SandboxCommand) override {
    if (!startable) return absl::InternalError("no memory");
    return std::make_unique<FakeZygote>(*this, ++started);
  }
  void KillAll() { dead_up_to = started; }

  bool startable = true;
  int started = 0;
  int dead_up_to = 0;
};

class ZygotesTest : public ::testing::Test {
 protected:
  // Why there is none.
  std::string Refusal() {
    const auto zygote = zygotes_.Get(Framework::kPlain);
    EXPECT_TRUE(absl::IsUnavailable(zygote.status())) << zygote.status();
    return std::string(zygote.status().message());
  }

  const models::TestFolder folder_;
  FakeSandbox sandbox_;
  base::FakeClock clock_;
  Zygotes zygotes_{sandbox_,
                   RuntimeEnvironment{.root = "/", .venv = {}, .python = "/usr/bin/python3"},
                   {.executors_path = folder_.path(),
                    .library = folder_.Write("library", "x"),
                    .native_program = {},
                    .models = {},
                    .limits = {}},
                   clock_};
};

TEST_F(ZygotesTest, OneThatDiesIsStartedAgainAfterAPauseThatDoubles) {
  const auto first = zygotes_.Get(Framework::kPlain);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(zygotes_.Get(Framework::kPlain)->get(), first->get());
  milliseconds pause(200);
  for (int deaths = 1; deaths <= 3; ++deaths, pause *= 2) {
    sandbox_.KillAll();
    EXPECT_EQ(Refusal(),
              base::StrCat("the plain zygote has ended ", deaths,
                           " times in a row; it is started again in ", pause.count(), " ms"));
    clock_.Advance(pause - milliseconds(1));
    EXPECT_THAT(Refusal(), testing::HasSubstr("it is started again in 1 ms"));
    clock_.Advance(milliseconds(1));
    EXPECT_TRUE(zygotes_.Get(Framework::kPlain).ok());
    EXPECT_EQ(sandbox_.started, 1 + deaths);
  }
  // One that has lived for a while is no sign of trouble.
  clock_.Advance(std::chrono::seconds(3));
  sandbox_.KillAll();
  EXPECT_THAT(Refusal(),
              testing::HasSubstr("has ended 1 times in a row; it is started again in 200"));
}

TEST_F(ZygotesTest, OneThatCannotBeStartedSaysWhyAndIsTriedAgainLater) {
  sandbox_.startable = false;
  EXPECT_EQ(zygotes_.Get(Framework::kPlain).status(), absl::InternalError("no memory"));
  EXPECT_THAT(Refusal(), testing::HasSubstr("started again in 200 ms"));
  sandbox_.startable = true;
  clock_.Advance(milliseconds(200));
  EXPECT_TRUE(zygotes_.Get(Framework::kPlain).ok());
}

TEST_F(ZygotesTest, TheDeadAreStartedAgainWithoutARequestAndNoneThatNobodyAskedFor) {
  zygotes_.Tend();
  EXPECT_EQ(sandbox_.started, 0);
  ASSERT_TRUE(zygotes_.Get(Framework::kPlain).ok());
  zygotes_.Tend();
  EXPECT_EQ(sandbox_.started, 1);
  sandbox_.KillAll();
  zygotes_.Tend();
  EXPECT_EQ(sandbox_.started, 1);  // Not at once.
  clock_.Advance(std::chrono::seconds(1));
  zygotes_.Tend();
  EXPECT_EQ(sandbox_.started, 2);
}

}  // namespace
}  // namespace ncn::executors
