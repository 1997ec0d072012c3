#include "executors/outcome_reading.h"

#include <algorithm>

#include "base/strings.h"

namespace ncn::executors {

using inference::Failure;
using inference::FailureKind;
using sandbox::CollectedFile;
using sandbox::FileAbsence;
using sandbox::OutcomeKind;
using sandbox::SandboxOutcome;

namespace {

constexpr std::size_t kDetailBytesMax = 2000;
// How Python ends when a script imports, before it could report anything, what is not there.
constexpr std::string_view kMissingModule = "ModuleNotFoundError: No module named ";

struct LimitRow {
  OutcomeKind outcome;
  FailureKind kind;
  std::string_view cure;
};

constexpr LimitRow kLimits[] = {
    {OutcomeKind::kTimedOut, FailureKind::kTimeout,
     "Allow the request more time, increase EXECUTION_TIMEOUT_SECS (or the model.toml's "
     "timeout_secs, where that is lower), or use a simpler model."},
    {OutcomeKind::kCpuLimit, FailureKind::kCpuLimit,
     "Send a smaller input, or increase EXECUTION_TIMEOUT_SECS, which the CPU limit follows."},
    {OutcomeKind::kMemoryLimit, FailureKind::kMemoryLimit,
     "Raise MAX_MEMORY_MB (or the model.toml's memory_mb, where that is lower), or send a smaller "
     "input."},
    {OutcomeKind::kOutputLimit, FailureKind::kOutputTooLarge,
     "Ask for fewer outputs, or raise --max-message-mb on the node."},
    {OutcomeKind::kViolation, FailureKind::kForbiddenSystemCall,
     "The model or its executor tried something that no model needs. Do not trust it."},
    {OutcomeKind::kKilled, FailureKind::kCancelled, ""},
    {OutcomeKind::kSignalled, FailureKind::kExecutorCrashed,
     "Check that the model, its executor and the input fit together."},
};

CollectedFile* Find(SandboxOutcome& outcome, std::string_view name) {
  const auto found = std::find_if(outcome.files.begin(), outcome.files.end(),
                                  [&](const CollectedFile& file) { return file.name == name; });
  return found == outcome.files.end() ? nullptr : &*found;
}

std::string LastLine(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
  return Printable(text.substr(text.rfind('\n') + 1), kDetailBytesMax);
}

// The executor ended by itself with a failing status and no usable report.
Failure UnreportedFailure(const SandboxOutcome& outcome) {
  if (const auto path = outcome.DeniedPath()) {
    return {
        FailureKind::kAccessDenied,
        base::StrCat("Landlock: Access denied to ", Printable(*path, 256)),
        "Put the files that the model needs into its own folder; the sandbox gives it no others.",
        LastLine(outcome.stderr_tail)};
  }
  if (std::string line = LastLine(outcome.stderr_tail); line.starts_with(kMissingModule)) {
    return {FailureKind::kModelUnsupported, "the executor misses a package",
            "Add the package to the runtime image or the virtual environment.", std::move(line)};
  }
  for (const std::string_view words : {"File too large", "No space left on device"}) {
    if (outcome.stderr_tail.find(words) != std::string::npos) {
      return {FailureKind::kOutputTooLarge, "what the executor wrote is larger than the limit",
              "Ask for fewer outputs, or raise --max-message-mb on the node.",
              LastLine(outcome.stderr_tail)};
    }
  }
  return {FailureKind::kExecutorCrashed,
          base::StrCat("Sandbox execution failed: ", outcome.Describe()),
          "Check that the model, its executor and the input fit together.",
          LastLine(outcome.stderr_tail)};
}

Failure ProtocolFailure(std::string message) {
  return {FailureKind::kExecutorProtocol, std::move(message),
          "Correct the executor script; python_executors/README.md describes the file contract."};
}

Failure OutputFailure(const CollectedFile& output) {
  if (output.absence == FileAbsence::kTooLarge) {
    return {FailureKind::kOutputTooLarge, "the output is larger than the limit",
            "Ask for fewer outputs, or raise --max-message-mb on the node."};
  }
  return ProtocolFailure(base::StrCat("the executor ended successfully, but its output file is ",
                                      sandbox::Name(output.absence)));
}

}  // namespace

Failure ReadEnd(const SandboxOutcome& outcome) {
  for (const LimitRow& row : kLimits) {
    if (row.outcome != outcome.kind) continue;
    return {row.kind, base::StrCat("Sandbox execution failed: ", outcome.Describe()),
            std::string(row.cure)};
  }
  return UnreportedFailure(outcome);
}

std::variant<ExecutorAnswer, Failure> ReadAnswer(ExecutorReport report, std::string output,
                                                 const inference::InferenceRequest& request) {
  if (report.failure) return *std::move(report.failure);
  if (report.ready || report.progress) {
    return ProtocolFailure(base::StrCat("the executor said ",
                                        report.ready ? "that it is ready" : "how far it is",
                                        " instead of answering"));
  }
  if (output.empty()) return ProtocolFailure("the executor wrote an empty output");
  std::string type = std::move(report.content_type);
  if (!inference::IsMediaType(type)) type = request.accept;
  if (!inference::IsMediaType(type)) type = inference::kOctetStream;
  return ExecutorAnswer{.output = {std::move(output), std::move(type)},
                        .steps = std::move(report.steps)};
}

std::variant<ExecutorAnswer, Failure> ReadAnswer(SandboxOutcome& outcome,
                                                 const inference::InferenceRequest& request) {
  if (outcome.kind != OutcomeKind::kExited) return ReadEnd(outcome);
  ExecutorReport report;
  if (const std::string* text = outcome.File(kReportFile)) {
    absl::StatusOr<ExecutorReport> parsed = ParseExecutorReport(*text);
    if (!parsed.ok() && outcome.exit_code == 0) {
      return ProtocolFailure(base::StrCat("the executor's report cannot be read: ",
                                          base::ToStd(parsed.status().message())));
    }
    if (parsed.ok()) report = *std::move(parsed);
  }
  if (report.failure) return *std::move(report.failure);
  if (outcome.exit_code != 0) return UnreportedFailure(outcome);

  CollectedFile* const output = Find(outcome, kOutputFile);
  if (output == nullptr) return ProtocolFailure("the executor's output was not collected");
  if (!output->bytes) return OutputFailure(*output);
  return ReadAnswer(std::move(report), *std::move(output->bytes), request);
}

}  // namespace ncn::executors
