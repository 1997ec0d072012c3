// Ready sandboxes as the node makes them: launcher, zygote, child.

#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "config/locations.h"
#include "executors/cold_script_runner.h"
#include "executors/ready_script_runner.h"
#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::executors {
namespace {

using inference::Failure;
using inference::FailureKind;
using std::chrono::seconds;

// Holds so much memory that taking it apart takes the kernel a while, and does not end.
constexpr char kHolds[] = R"(
import time
from ncn_executor import Executor, main

class Holds(Executor):
    def load(self, model_path, context):
        self._context = context
        self._memory = bytearray(b"x") * (400 << 20)

    def run(self, request):
        time.sleep(0.3)
        self._context.progress(0.5)
        time.sleep(1000)

if __name__ == "__main__":
    main(Holds)
)";

constexpr char kAnswers[] = R"(
from ncn_executor import Executor, Response, main

class Answers(Executor):
    def load(self, model_path, context):
        pass

    def run(self, request):
        return Response(request.data, "text/plain")

if __name__ == "__main__":
    main(Answers)
)";

class ReadyRunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(config::DefaultRuntimeImage())) {
      GTEST_SKIP() << "there is no runtime image: runtime_image/build makes it";
    }
    // Of the sandbox's user, too.
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
    sandbox_ = *sandbox::CreateSandbox({.launcher_path = NCN_LAUNCHER});
    environment_ = *RuntimeEnvironment::Locate(NCN_EXECUTORS, config::DefaultRuntimeImage());
    selector_.emplace(*ExecutorSelector::Create(NCN_EXECUTORS, ""));
    cold_.emplace(*sandbox_, environment_, NCN_EXECUTORS, ColdRunnerOptions{}, clock_);
    zygotes_.emplace(*sandbox_, environment_,
                     Zygotes::Options{.executors_path = NCN_EXECUTORS,
                                      .library = NCN_ZYGOTE_LIBRARY,
                                      .native_program = {},
                                      .models = {folder_.path()},
                                      .limits = {}},
                     clock_);
  }
  std::shared_ptr<const models::Model> WriteModel(const std::string& name,
                                                  std::string_view script) {
    // A safetensors file of one byte.
    const std::string header = R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size());
    std::filesystem::create_directories(folder_.path() / name);
    folder_.Write(name + "/model.safetensors", file + header + '\0');
    folder_.Write(name + "/executor.py", std::string(script));
    folder_.Write(name + "/model.toml", base::StrCat("[model]\nname = \"", name,
                                                     "\"\nformat = \"safetensors\"\n[executor]\n"
                                                     "script = \"executor.py\"\n"));
    const models::ModelStore store(folder_.path());
    const auto model = store.Find(*inference::ModelId::Parse(name));
    EXPECT_TRUE(model.ok()) << model.status();
    return *model;
  }

  const models::TestFolder folder_;
  const base::Clock& clock_ = base::Clock::System();
  std::unique_ptr<sandbox::Sandbox> sandbox_;
  RuntimeEnvironment environment_;
  std::optional<ExecutorSelector> selector_;
  std::optional<ColdScriptRunner> cold_;
  std::optional<Zygotes> zygotes_;
};

TEST_F(ReadyRunnerTest, ACancelledRequestDoesNotWaitForTheEndOfItsChild) {
  const auto model = WriteModel("holds", kHolds);
  ReadyScriptRunner runner(*zygotes_, *cold_, sandbox_->mode(), environment_, NCN_EXECUTORS, {},
                           clock_);
  const auto candidates = selector_->Candidates(*model);
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  const inference::InferenceRequest request{
      .id = *inference::RequestId::Parse("r"), .model = model->id, .input = {"x", "text/plain"}};
  std::stop_source stop;
  base::SteadyTime stopped;
  const Outcome outcome = runner.Run({.executor = candidates->front(),
                                      .model = *model,
                                      .request = request,
                                      .deadline = clock_.SteadyNow() + seconds(30),
                                      .stop = stop.get_token(),
                                      .on_progress = [&](const inference::Progress&) {
                                        stopped = clock_.SteadyNow();
                                        stop.request_stop();
                                      }});
  const auto taken = clock_.SteadyNow() - stopped;
  const auto* failure = std::get_if<Failure>(&outcome);
  ASSERT_NE(failure, nullptr);
  EXPECT_EQ(failure->kind, FailureKind::kCancelled) << failure->message << failure->detail;
  ASSERT_TRUE(stop.stop_requested()) << failure->message;
  EXPECT_LT(taken, seconds(1));  // Some 0.2 ms; 50 are promised.
  RecordProperty(
      "cancelled_us",
      static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(taken).count()));
}

TEST_F(ReadyRunnerTest, RequestsThatComeTogetherAreAboutOneVersion) {
  const auto model = WriteModel("answers", kAnswers);
  const auto candidates = selector_->Candidates(*model);
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  for (int round = 0; round < 4; ++round) {
    ReadyScriptRunner runner(*zygotes_, *cold_, sandbox_->mode(), environment_, NCN_EXECUTORS, {},
                             clock_);
    std::vector<std::jthread> clients;
    for (int i = 0; i < 6; ++i) {
      clients.emplace_back([&] {
        const inference::InferenceRequest request{.id = *inference::RequestId::Parse("r"),
                                                  .model = model->id,
                                                  .input = {"x", "text/plain"}};
        const Outcome outcome = runner.Run({.executor = candidates->front(),
                                            .model = *model,
                                            .request = request,
                                            .deadline = clock_.SteadyNow() + seconds(60),
                                            .stop = {}});
        const auto* failure = std::get_if<Failure>(&outcome);
        EXPECT_EQ(failure, nullptr) << failure->message;
      });
    }
  }
}

// Control groups of this process's sandboxes, in all hierarchies.
std::size_t ControlGroups() {
  std::size_t count = 0;
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry("/sys/fs/cgroup", error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    const std::string ours = base::StrCat("/ncn-", ::getpid(), "-");
    std::error_code gone;
    count += entry->is_directory(gone) && entry->path().native().find(ours) != std::string::npos;
  }
  return count;
}

TEST_F(ReadyRunnerTest, WhatDiesWithItsZygoteLeavesNoControlGroup) {
  const auto model = WriteModel("holds", kHolds);
  const auto candidates = selector_->Candidates(*model);
  ASSERT_TRUE(candidates.ok()) << candidates.status();
  const std::size_t before = ControlGroups();
  {
    ReadyScriptRunner runner(*zygotes_, *cold_, sandbox_->mode(), environment_, NCN_EXECUTORS, {},
                             clock_);
    const inference::InferenceRequest request{
        .id = *inference::RequestId::Parse("r"), .model = model->id, .input = {"x", "text/plain"}};
    int killed = 0;
    std::stop_source stop;
    const Outcome outcome = runner.Run({.executor = candidates->front(),
                                        .model = *model,
                                        .request = request,
                                        .deadline = clock_.SteadyNow() + seconds(20),
                                        .stop = stop.get_token(),
                                        .on_progress = [&](const inference::Progress&) {
                                          if (killed == 2) stop.request_stop();
                                          const auto zygote = zygotes_->Get(Framework::kPlain);
                                          if (zygote.ok())
                                            killed +=
                                                ::kill((*zygote)->pid(), SIGKILL) == 0 ? 1 : 0;
                                        }});
    EXPECT_TRUE(std::holds_alternative<Failure>(outcome));
    EXPECT_GE(killed, 2);
  }
  zygotes_.reset();
  EXPECT_EQ(ControlGroups(), before);
}

}  // namespace
}  // namespace ncn::executors
