#include "execution/model_execution.h"

#include <deque>

#include "base/fake_clock.h"
#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::execution {
namespace {

using executors::Outcome;
using inference::Failure;
using inference::FailureKind;
using inference::InferenceResult;

// Answers each run with the next of a list, and remembers which scripts ran.
class ListedRunner final : public executors::ScriptRunner {
 public:
  Outcome Run(const executors::ScriptTask& task) override {
    scripts.push_back(task.executor.name);
    deadlines.push_back(task.deadline);
    Outcome outcome = std::move(outcomes.front());
    outcomes.pop_front();
    return outcome;
  }

  std::deque<Outcome> outcomes;
  std::vector<std::string> scripts;
  std::vector<base::SteadyTime> deadlines;
};

// A store and executor scripts on disk, with a runner that only pretends.
class ModelExecutionTest : public testing::Test {
 protected:
  ModelExecutionTest() {
    const std::string header = R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    model_bytes_ = models::LittleEndianBytes<std::uint64_t>(header.size()) + header + '\0';
  }

  inference::InferenceResponse Execute(const char* model, bool fallback = false) {
    ModelExecution execution(store_, selector_, runner_, fallback, base::Clock::System());
    return Execute(execution, model);
  }

  static inference::InferenceResponse Execute(ModelExecution& execution, const char* model,
                                              const ExecutionContext& context = {}) {
    return execution.Execute({.id = *inference::RequestId::Parse("r1"),
                              .model = *inference::ModelId::Parse(model),
                              .input = {"x", "text/plain"}},
                             context);
  }

  static executors::ExecutorSelector Selector(const models::TestFolder& executors) {
    executors.Write("generic_model_executor.py", "");
    executors.Write("semantic_model_executor.py", "");
    return *executors::ExecutorSelector::Create(executors.path());
  }

  const models::TestFolder executors_;
  const executors::ExecutorSelector selector_ = Selector(executors_);
  const models::TestFolder folder_;
  const models::ModelStore store_{folder_.path()};
  std::string model_bytes_;
  ListedRunner runner_;
};

TEST_F(ModelExecutionTest, MissingModelIsNamedInTheSpecificationsWords) {
  const Failure failure = Execute("bark_semantic").failure();
  EXPECT_EQ(failure.kind, FailureKind::kModelNotFound);
  EXPECT_EQ(failure.message, "Model bark_semantic_model.pt not found at " +
                                 (folder_.path() / "bark_semantic_model.pt").native());
}

TEST_F(ModelExecutionTest, DamagedModelIsInvalidAndSaysWhy) {
  folder_.Write("cut_model.safetensors", model_bytes_.substr(0, 20));
  const Failure failure = Execute("cut").failure();
  EXPECT_EQ(failure.kind, FailureKind::kModelInvalid);
  EXPECT_NE(failure.message.find("cut_model.safetensors"), std::string::npos) << failure.message;
}

TEST_F(ModelExecutionTest, WronglyNamedModelIsInvalidAndSaysWhatItIs) {
  folder_.Write("wrong_model.onnx", model_bytes_);
  const Failure failure = Execute("wrong").failure();
  EXPECT_EQ(failure.kind, FailureKind::kModelInvalid);
  EXPECT_NE(failure.message.find("safetensors"), std::string::npos) << failure.message;
}

TEST_F(ModelExecutionTest, FallsBackOnlyWhenAllowedAndOnlyFromUnsupportedModels) {
  folder_.Write("bark_semantic_model.safetensors", model_bytes_);
  const Failure unsupported{.kind = FailureKind::kModelUnsupported, .message = "not this one"};

  runner_.outcomes = {unsupported};
  EXPECT_EQ(Execute("bark_semantic").failure().kind, FailureKind::kModelUnsupported);

  runner_.outcomes = {Failure{.kind = FailureKind::kMemoryLimit}};
  EXPECT_EQ(Execute("bark_semantic", true).failure().kind, FailureKind::kMemoryLimit);

  runner_.scripts.clear();
  runner_.outcomes = {unsupported, InferenceResult{.output = {"y", "text/plain"}}};
  const inference::InferenceResponse response = Execute("bark_semantic", true);
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(runner_.scripts,
            (std::vector<std::string>{"semantic_model_executor.py", "generic_model_executor.py"}));
  EXPECT_EQ(response.result().record.notes,
            std::vector<std::string>{"semantic_model_executor.py: not this one"});
}

TEST_F(ModelExecutionTest, NeverFallsBackForAnyOtherKindOfFailure) {
  folder_.Write("bark_semantic_model.safetensors", model_bytes_);
  int kinds = 0;
  for (int value = 0; value <= static_cast<int>(FailureKind::kInternal); ++value) {
    const auto kind = static_cast<FailureKind>(value);
    // What a changed model leads to is no other executor, but the same one once more.
    if (kind == FailureKind::kModelUnsupported || kind == FailureKind::kModelChanged) continue;
    ++kinds;
    runner_.scripts.clear();
    runner_.outcomes = {Failure{.kind = kind, .message = "why"}};
    const Failure failure = Execute("bark_semantic", true).failure();
    EXPECT_EQ(failure.kind, kind);
    EXPECT_EQ(failure.detail, "") << inference::Name(kind);
    EXPECT_EQ(runner_.scripts, std::vector<std::string>{"semantic_model_executor.py"})
        << inference::Name(kind);
  }
  EXPECT_EQ(kinds, 17);
}

TEST_F(ModelExecutionTest, WhenAllFailTheLastFailureSaysWhyTheOthersDid) {
  folder_.Write("bark_semantic_model.safetensors", model_bytes_);
  runner_.outcomes = {
      Failure{.kind = FailureKind::kModelUnsupported,
              .message = "not this one",
              .detail = "no package torchvision"},
      Failure{
          .kind = FailureKind::kModelInvalid, .message = "nor that one", .detail = "no weights"}};
  const Failure failure = Execute("bark_semantic", true).failure();
  EXPECT_EQ(failure.kind, FailureKind::kModelInvalid);
  EXPECT_EQ(failure.message, "nor that one");
  EXPECT_EQ(failure.detail,
            "no weights; tried before: semantic_model_executor.py: not this one: no package "
            "torchvision");
}

TEST_F(ModelExecutionTest, EveryCandidateHasTheSameDeadline) {
  folder_.Write("bark_semantic_model.safetensors", model_bytes_);
  const Failure unsupported{.kind = FailureKind::kModelUnsupported, .message = "not this one"};
  ModelExecution execution(store_, selector_, runner_, /*fallback=*/true, base::Clock::System());
  const base::SteadyTime deadline = base::Clock::System().SteadyNow() + std::chrono::hours(1);
  runner_.outcomes = {unsupported, unsupported};
  Execute(execution, "bark_semantic", {.deadline = deadline});
  EXPECT_EQ(runner_.deadlines, (std::vector<base::SteadyTime>{deadline, deadline}));
}

TEST_F(ModelExecutionTest, AManifestMayOnlyBringTheDeadlineForward) {
  folder_.Write("m/m.safetensors", model_bytes_);
  folder_.Write("m/model.toml", "[limits]\ntimeout_secs = 5\n");
  base::FakeClock clock;
  ModelExecution execution(store_, selector_, runner_, /*fallback=*/false, clock);
  const base::SteadyTime now = clock.SteadyNow();
  for (const int allowed : {3, 60}) {
    runner_.outcomes = {InferenceResult{.output = {"y", "text/plain"}, .record = {}}};
    const ExecutionContext context{.deadline = now + std::chrono::seconds(allowed)};
    ASSERT_TRUE(Execute(execution, "m", context).ok());
    EXPECT_EQ(runner_.deadlines.back(), now + std::chrono::seconds(std::min(allowed, 5)));
  }
}

TEST_F(ModelExecutionTest, AnExecutorThatCannotRunAModelIsAskedAgainOnlyWhenTheModelChanges) {
  folder_.Write("bark_semantic_model.safetensors", model_bytes_);
  ModelExecution execution(store_, selector_, runner_, /*fallback=*/true, base::Clock::System());
  const Failure unsupported{.kind = FailureKind::kModelUnsupported, .message = "not this one"};
  const InferenceResult result{.output = {"y", "text/plain"}, .record = {}};
  runner_.outcomes = {unsupported, result, result};
  ASSERT_TRUE(Execute(execution, "bark_semantic").ok());
  const inference::InferenceResponse second = Execute(execution, "bark_semantic");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second.result().record.notes,
            std::vector<std::string>{
                "semantic_model_executor.py: cannot run this model, as seen before"});
  EXPECT_EQ(runner_.scripts.size(), 3U);

  model_bytes_.back() = 'x';
  folder_.Write("bark_semantic_model.safetensors", model_bytes_);
  runner_.scripts.clear();
  runner_.outcomes = {result};
  ASSERT_TRUE(Execute(execution, "bark_semantic").ok());
  EXPECT_EQ(runner_.scripts, std::vector<std::string>{"semantic_model_executor.py"});
}

TEST_F(ModelExecutionTest, WithoutFallbackTheFailureNamesTheSetting) {
  folder_.Write("bark_semantic_model.safetensors", model_bytes_);
  runner_.outcomes = {Failure{.kind = FailureKind::kModelUnsupported}};
  EXPECT_NE(Execute("bark_semantic").failure().cure.find("--enable-execution-fallback"),
            std::string::npos);
  EXPECT_EQ(runner_.scripts.size(), 1U);
}

TEST_F(ModelExecutionTest, AModelThatChangesUnderARequestIsRunOnceMore) {
  folder_.Write("m.safetensors", model_bytes_);
  const Failure changed{.kind = FailureKind::kModelChanged, .message = "changed"};
  runner_.outcomes = {changed, InferenceResult{.output = {"y", "text/plain"}, .record = {}}};
  EXPECT_TRUE(Execute("m").ok());
  EXPECT_EQ(runner_.scripts.size(), 2U);

  runner_.outcomes = {changed, changed};
  const Failure failure = Execute("m").failure();
  EXPECT_EQ(failure.kind, FailureKind::kModelChanged);
  EXPECT_EQ(inference::Code(failure.kind), absl::StatusCode::kAborted);
  EXPECT_EQ(runner_.scripts.size(), 4U);
}

}  // namespace
}  // namespace ncn::execution
