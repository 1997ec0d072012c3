#pragma once

#include <variant>

#include "executors/executor_report.h"
#include "inference/inference_request.h"
#include "sandbox/sandbox_outcome.h"

namespace ncn::executors {

// The files of the file contract, in the sandbox's working folder.
inline constexpr char kInputFile[] = "input";
inline constexpr char kOutputFile[] = "output";
inline constexpr char kReportFile[] = "output.report.json";

// What an executor answered.
struct ExecutorAnswer {
  inference::Payload output;
  std::vector<inference::StepTime> steps;  // As the executor measured them.
};

// Reads how a sandboxed executor ended: its answer, or why there is none, in the specification's
// words
// ("Sandbox execution failed: Timeout after 300s", "Landlock: Access denied to /some/path"). What
// the sandbox leaves behind is hostile; the answer's media type is the report's, or else what
// `request` asked for. Takes the output's bytes out of `outcome`. Thread-safe.
std::variant<ExecutorAnswer, inference::Failure> ReadAnswer(
    sandbox::SandboxOutcome& outcome, const inference::InferenceRequest& request);

// The same of what a ready child said: its report, and the bytes that came with it.
std::variant<ExecutorAnswer, inference::Failure> ReadAnswer(
    ExecutorReport report, std::string output, const inference::InferenceRequest& request);

// Why a sandbox that ended without a word did so.
inference::Failure ReadEnd(const sandbox::SandboxOutcome& outcome);

}  // namespace ncn::executors
