#include "executors/outcome_reading.h"

#include <csignal>

#include "gtest/gtest.h"

namespace ncn::executors {
namespace {

using inference::Failure;
using inference::FailureKind;
using sandbox::FileAbsence;
using sandbox::OutcomeKind;
using sandbox::SandboxOutcome;

class OutcomeReadingTest : public testing::Test {
 protected:
  static SandboxOutcome Exited(int code) {
    return {.kind = OutcomeKind::kExited, .exit_code = code};
  }
  static void Add(SandboxOutcome& outcome, const char* name, std::string bytes) {
    outcome.files.push_back({.name = name, .bytes = std::move(bytes)});
  }
  Failure FailureOf(SandboxOutcome outcome) const {
    auto answer = ReadAnswer(outcome, request_);
    return std::holds_alternative<Failure>(answer) ? std::get<Failure>(answer) : Failure{};
  }
  ExecutorAnswer AnswerOf(SandboxOutcome outcome) const {
    auto answer = ReadAnswer(outcome, request_);
    EXPECT_TRUE(std::holds_alternative<ExecutorAnswer>(answer)) << FailureOf(outcome).message;
    return std::get<ExecutorAnswer>(std::move(answer));
  }

  inference::InferenceRequest request_{.id = *inference::RequestId::Parse("r"),
                                       .model = *inference::ModelId::Parse("m"),
                                       .input = {"x", inference::kOpenInferenceJson}};
};

TEST_F(OutcomeReadingTest, TakesOutputAndItsTypeFromTheReport) {
  SandboxOutcome outcome = Exited(0);
  Add(outcome, kOutputFile, "answer");
  Add(outcome, kReportFile, R"({"status":"ok","content_type":"audio/wav"})");
  const ExecutorAnswer answer = AnswerOf(std::move(outcome));
  EXPECT_EQ(answer.output.bytes, "answer");
  EXPECT_EQ(answer.output.content_type, "audio/wav");
}

TEST_F(OutcomeReadingTest, AScriptWithoutReportAnswersInTheWantedType) {
  SandboxOutcome outcome = Exited(0);
  Add(outcome, kOutputFile, "answer");
  EXPECT_EQ(AnswerOf(outcome).output.content_type, inference::kOctetStream);
  request_.accept = "text/plain";
  EXPECT_EQ(AnswerOf(outcome).output.content_type, "text/plain");
}

TEST_F(OutcomeReadingTest, EachLimitHasItsOwnKind) {
  const std::pair<OutcomeKind, FailureKind> rows[] = {
      {OutcomeKind::kTimedOut, FailureKind::kTimeout},
      {OutcomeKind::kCpuLimit, FailureKind::kCpuLimit},
      {OutcomeKind::kMemoryLimit, FailureKind::kMemoryLimit},
      {OutcomeKind::kOutputLimit, FailureKind::kOutputTooLarge},
      {OutcomeKind::kViolation, FailureKind::kForbiddenSystemCall},
      {OutcomeKind::kKilled, FailureKind::kCancelled},
      {OutcomeKind::kSignalled, FailureKind::kExecutorCrashed},
  };
  for (const auto& [outcome, kind] : rows) {
    const Failure failure = FailureOf({.kind = outcome, .signal = SIGSEGV});
    EXPECT_EQ(failure.kind, kind);
    EXPECT_TRUE(failure.message.starts_with("Sandbox execution failed: ")) << failure.message;
  }
}

TEST_F(OutcomeReadingTest, MissingEmptyAndOversizedOutputAreErrorsOfTheExecutor) {
  SandboxOutcome outcome = Exited(0);
  outcome.files.push_back({.name = kOutputFile, .absence = FileAbsence::kMissing});
  EXPECT_EQ(FailureOf(outcome).kind, FailureKind::kExecutorProtocol);
  outcome.files[0].absence = FileAbsence::kTooLarge;
  EXPECT_EQ(FailureOf(outcome).kind, FailureKind::kOutputTooLarge);
  outcome.files[0].bytes = "";
  EXPECT_EQ(FailureOf(outcome).kind, FailureKind::kExecutorProtocol);
}

TEST_F(OutcomeReadingTest, GarbageReportOfASuccessIsRefused) {
  SandboxOutcome outcome = Exited(0);
  Add(outcome, kOutputFile, "answer");
  Add(outcome, kReportFile,
      "\x7f"
      "ELF");
  EXPECT_EQ(FailureOf(outcome).kind, FailureKind::kExecutorProtocol);
}

TEST_F(OutcomeReadingTest, CrashKeepsTheLastLineForTheCallerOnly) {
  SandboxOutcome outcome = Exited(3);
  outcome.stderr_tail = "Traceback\nValueError: secret payload\n";
  const Failure failure = FailureOf(outcome);
  EXPECT_EQ(failure.kind, FailureKind::kExecutorCrashed);
  EXPECT_EQ(failure.message.find("secret"), std::string::npos);
  EXPECT_EQ(failure.detail, "ValueError: secret payload");
}

TEST_F(OutcomeReadingTest, AnImportOfWhatIsNotInstalledIsAnExecutorThatCannotRunTheModel) {
  SandboxOutcome outcome = Exited(1);
  outcome.stderr_tail = "Traceback\nModuleNotFoundError: No module named 'torchvision'\n";
  const Failure failure = FailureOf(outcome);
  EXPECT_EQ(failure.kind, FailureKind::kModelUnsupported);
  EXPECT_EQ(failure.detail, "ModuleNotFoundError: No module named 'torchvision'");
  outcome.stderr_tail += "and then something else\n";
  EXPECT_EQ(FailureOf(outcome).kind, FailureKind::kExecutorCrashed);
}

TEST_F(OutcomeReadingTest, DeniedPathIsNamedInTheSpecificationsWords) {
  SandboxOutcome outcome = Exited(1);
  outcome.stderr_tail = "PermissionError: [Errno 13] Permission denied: '/some/path'\n";
  EXPECT_EQ(FailureOf(outcome).message, "Landlock: Access denied to /some/path");
}

}  // namespace
}  // namespace ncn::executors
