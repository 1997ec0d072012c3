#include "executors/cold_script_runner.h"

#include <fcntl.h>

#include <functional>

#include "executors/outcome_reading.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/model_store.h"
#include "models/testing_files.h"

namespace ncn::executors {
namespace {

using inference::FailureKind;
using testing::HasSubstr;
namespace fs = std::filesystem;

// What happens to the model at which moment.
struct Hooks {
  std::function<void()> before_mount = [] {};
  std::function<void()> while_it_runs = [] {};
};

// A process that mounts what the policy shows when it is made, as a real one does, and runs
// nothing.
class PretendedProcess final : public sandbox::SandboxedProcess {
 public:
  PretendedProcess(const sandbox::SandboxPolicy& policy, const Hooks& hooks, bool& released)
      : hooks_(hooks), released_(released) {
    hooks_.before_mount();
    for (const sandbox::ReadOnlyBind& bind : policy.binds()) {
      mounts_[bind.inside_path].reset(::open(bind.host_path.c_str(), O_PATH | O_CLOEXEC));
    }
  }
  absl::Status Verify() override { return absl::OkStatus(); }
  absl::StatusOr<base::UniqueFd> OpenInside(const std::string& inside_path) const override {
    return base::UniqueFd(::fcntl(mounts_.at(inside_path).get(), F_DUPFD_CLOEXEC, 0));
  }
  absl::Status Release() override {
    released_ = true;
    return absl::OkStatus();
  }
  absl::StatusOr<sandbox::SandboxOutcome> Wait(std::stop_token) override {
    hooks_.while_it_runs();
    sandbox::SandboxOutcome outcome;
    outcome.kind = sandbox::OutcomeKind::kExited;
    outcome.files = {{kOutputFile, "answer"},
                     {kReportFile, R"({"status":"ok","content_type":"text/plain"})"}};
    return outcome;
  }
  void Kill() override {}
  int pid() const override { return 0; }

 private:
  const Hooks& hooks_;
  bool& released_;
  std::map<std::string, base::UniqueFd> mounts_;
};

class PretendedSandbox final : public sandbox::Sandbox {
 public:
  sandbox::SandboxMode mode() const override { return sandbox::SandboxMode::kStrict; }
  absl::StatusOr<std::unique_ptr<sandbox::SandboxedProcess>> Start(
      const sandbox::SandboxPolicy& policy, sandbox::SandboxCommand) override {
    return std::make_unique<PretendedProcess>(policy, hooks, released);
  }
  Hooks hooks;
  bool released = false;
};

class ColdScriptRunnerTest : public testing::TestWithParam<const char*> {
 protected:
  ColdScriptRunnerTest() {
    folder_.Write("m.onnx", models::OnnxFile());
    folder_.Write("f/f.onnx", models::OnnxFile());
    folder_.Write("f/run.py", "one");
  }
  std::shared_ptr<const models::Model> Model() const {
    return *store_.Find(*inference::ModelId::Parse(GetParam()));
  }
  Outcome Run(const models::Model& model) {
    const inference::InferenceRequest request{.id = *inference::RequestId::Parse("r"),
                                              .model = model.id,
                                              .input = {"x", "text/plain"},
                                              .accept = "text/plain"};
    return runner_.Run({.executor = executor_,
                        .model = model,
                        .request = request,
                        .deadline = std::chrono::steady_clock::now() + std::chrono::hours(1),
                        .stop = {}});
  }
  // Another file of the same content.
  static void Swap(const fs::path& file) {
    fs::copy_file(file, file.native() + ".new");
    fs::rename(file.native() + ".new", file);
  }
  void ExpectChanged(const Outcome& outcome) {
    const auto* failure = std::get_if<inference::Failure>(&outcome);
    ASSERT_NE(failure, nullptr);
    EXPECT_EQ(failure->kind, FailureKind::kModelChanged) << failure->message;
    EXPECT_THAT(failure->message, HasSubstr("changed since it was verified"));
  }

  const models::TestFolder folder_;
  const models::TestFolder scripts_;
  const models::ModelStore store_{folder_.path()};
  const Executor executor_{.name = "e.py", .inside_path = "/executors/e.py", .sha256 = "22"};
  PretendedSandbox sandbox_;
  ColdScriptRunner runner_{sandbox_,
                           {.root = "/", .venv = {}, .python = "/usr/bin/python3", .digest = ""},
                           scripts_.path(),
                           {},
                           base::Clock::System()};
};
INSTANTIATE_TEST_SUITE_P(FilesAndFolders, ColdScriptRunnerTest, testing::Values("m", "f"));

TEST_P(ColdScriptRunnerTest, StatesTheHashOfAllFiles) {
  const auto model = Model();
  const Outcome outcome = Run(*model);
  const auto* result = std::get_if<inference::InferenceResult>(&outcome);
  ASSERT_NE(result, nullptr) << std::get<inference::Failure>(outcome).message;
  EXPECT_EQ(result->record.model_hash, model->tree_sha256);
  EXPECT_EQ(result->output.bytes, "answer");
}

TEST_P(ColdScriptRunnerTest, AModelSwappedBeforeTheMountIsNotRun) {
  const auto model = Model();
  sandbox_.hooks.before_mount = [&] { Swap(model->file); };
  ExpectChanged(Run(*model));
  EXPECT_FALSE(sandbox_.released);
}

TEST_P(ColdScriptRunnerTest, AModelSwappedForTheTimeOfTheMountIsNotRun) {
  const auto model = Model();
  fs::copy(model->root, folder_.path() / ".other", fs::copy_options::recursive);
  const fs::path kept = folder_.path() / ".kept";
  sandbox_.hooks.before_mount = [&] {
    fs::rename(model->root, kept);
    fs::rename(folder_.path() / ".other", model->root);
  };
  ExpectChanged(Run(*model));
  EXPECT_FALSE(sandbox_.released);
}

TEST_P(ColdScriptRunnerTest, ALinkInPlaceOfTheModelIsNotRun) {
  const auto model = Model();
  sandbox_.hooks.before_mount = [&] {
    fs::rename(model->file, folder_.path() / ".elsewhere");
    fs::create_symlink(folder_.path() / ".elsewhere", model->file);
  };
  const Outcome outcome = Run(*model);
  EXPECT_TRUE(std::holds_alternative<inference::Failure>(outcome));
  EXPECT_FALSE(sandbox_.released);
}

TEST_P(ColdScriptRunnerTest, WhatIsWrittenIntoAModelThatRunsSpoilsTheAnswer) {
  const auto model = Model();
  sandbox_.hooks.while_it_runs = [&] {
    std::ofstream(model->file, std::ios::app | std::ios::binary) << "more";
  };
  ExpectChanged(Run(*model));
  EXPECT_TRUE(sandbox_.released);
}

TEST_P(ColdScriptRunnerTest, ARequestEndsOnTheModelItBeganWith) {
  const auto model = Model();
  sandbox_.hooks.while_it_runs = [&] {
    fs::rename(model->root, folder_.path() / ".retired");
    folder_.Write(model->root.filename(), "another");
  };
  const Outcome outcome = Run(*model);
  const auto* failure = std::get_if<inference::Failure>(&outcome);
  EXPECT_EQ(failure, nullptr) << failure->message;
}

}  // namespace
}  // namespace ncn::executors
