#include "executors/executor_report.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/status_macros.h"
#include "base/strings.h"
#include "inference/inference_request.h"

namespace ncn::executors {

using inference::Failure;
using inference::FailureKind;
using json = nlohmann::ordered_json;  // Steps stay in the order in which they were taken.

namespace {

constexpr std::size_t kStepsMax = 32;
constexpr std::size_t kTextBytesMax = 2000;
constexpr std::size_t kPathBytesMax = 256;
constexpr std::size_t kNoteBytesMax = 200;
constexpr double kMillisecondsMax = 1e9;

struct CodeRow {
  std::string_view code;
  FailureKind kind;
  std::string_view message;
  std::string_view cure;
};

// The codes of ncn_executor/errors.py.
constexpr std::array<CodeRow, 11> kCodes = {{
    {"INVALID_INPUT", FailureKind::kInvalidInput, "the executor cannot use the input",
     "Correct the input and send it again."},
    {"INPUT_TOO_LARGE", FailureKind::kInputTooLarge, "the input is too large for the executor",
     "Send a smaller input."},
    {"INVALID_MODEL", FailureKind::kModelInvalid, "the executor cannot use the model's file",
     "Replace the model file."},
    {"INVALID_MANIFEST", FailureKind::kModelInvalid, "the executor cannot use the model's manifest",
     "Correct the model's model.toml."},
    {"UNSUPPORTED_MODEL", FailureKind::kModelUnsupported, "the executor cannot run this model",
     "Store the model in another format, or give it an executor script of its own."},
    {"MISSING_DEPENDENCY", FailureKind::kModelUnsupported, "the executor misses a package",
     "Add the package to the runtime image or the virtual environment."},
    {"OUTPUT_TOO_LARGE", FailureKind::kOutputTooLarge, "the output is larger than the limit",
     "Ask for fewer outputs, or raise --max-message-mb on the node."},
    {"OUT_OF_MEMORY", FailureKind::kMemoryLimit, "memory ran out in the executor",
     "Raise MAX_MEMORY_MB, or send a smaller input."},
    {"ACCESS_DENIED", FailureKind::kAccessDenied, "Landlock: Access denied",
     "Put the files that the model needs into its own folder; the sandbox gives it no others."},
    {"BROKEN_CONTRACT", FailureKind::kExecutorProtocol, "the executor broke the file contract",
     "Correct the executor script; python_executors/README.md describes the file contract."},
    {"INTERNAL", FailureKind::kExecutorCrashed, "the executor failed",
     "Check that the model, its executor and the input fit together."},
}};

// A text member, or empty when it is missing or of another type.
std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return "";
  return Printable(found->get_ref<const std::string&>(), kTextBytesMax);
}

std::string DescribeError(const json& error) {
  std::string message = Text(error, "message");
  if (const std::string field = Text(error, "field"); !field.empty()) {
    message += base::StrCat(" (", field, ")");
  }
  const std::string expected = Text(error, "expected");
  const std::string found = Text(error, "found");
  if (!expected.empty()) message += base::StrCat("; expected ", expected);
  if (!found.empty()) message += base::StrCat(expected.empty() ? "; found " : ", found ", found);
  return Printable(message, kTextBytesMax);
}

absl::StatusOr<Failure> ParseError(const json& report) {
  const auto error = report.find("error");
  if (error == report.end() || !error->is_object()) {
    return absl::InvalidArgumentError("the report of a failure has no 'error' object");
  }
  const std::string code = Text(*error, "code");
  for (const CodeRow& row : kCodes) {
    if (row.code != code) continue;
    Failure failure{row.kind, std::string(row.message), std::string(row.cure),
                    DescribeError(*error)};
    if (const std::string path = Text(*error, "path");
        row.kind == FailureKind::kAccessDenied && !path.empty()) {
      failure.message += base::StrCat(" to ", Printable(path, kPathBytesMax));
    }
    return failure;
  }
  return absl::InvalidArgumentError(
      base::StrCat("the report has the unknown error code '", code, "'"));
}

std::vector<inference::StepTime> ParseSteps(const json& report) {
  std::vector<inference::StepTime> steps;
  const auto timings = report.find("timings_ms");
  if (timings == report.end() || !timings->is_object()) return steps;
  for (const auto& [name, value] : timings->items()) {
    if (steps.size() == kStepsMax) break;
    if (!value.is_number()) continue;
    const double milliseconds = value.get<double>();
    if (!(milliseconds >= 0 && milliseconds < kMillisecondsMax)) continue;
    steps.push_back({Printable(name, 64),
                     std::chrono::microseconds(static_cast<std::int64_t>(milliseconds * 1000))});
  }
  return steps;
}

// The partial output is the frame's body.
absl::StatusOr<inference::Progress> ParseProgress(const json& report) {
  inference::Progress progress;
  const auto fraction = report.find("fraction");
  if (fraction != report.end() && !fraction->is_null()) {
    const double done = fraction->is_number() ? fraction->get<double>() : -1;
    if (!(done >= 0 && done <= 1)) {
      return absl::InvalidArgumentError("the fraction that is done is no number from 0 to 1");
    }
    progress.done_permille = static_cast<std::uint32_t>(done * 1000);
  }
  progress.note = Printable(Text(report, "note"), kNoteBytesMax);
  progress.partial.content_type = Text(report, "content_type");
  if (!inference::IsMediaType(progress.partial.content_type)) {
    progress.partial.content_type = inference::kOctetStream;
  }
  return progress;
}

}  // namespace

std::string Printable(std::string_view text, std::size_t bytes_max) {
  const bool plain =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  if (plain) return std::string(text.substr(0, bytes_max));
  std::string printable;
  for (const char c : text) {
    if (printable.size() >= bytes_max) break;
    const auto byte = static_cast<unsigned char>(c);
    printable.push_back(byte < 0x20 || byte == 0x7f ? ' ' : c);
  }
  // nlohmann's dump replaces what is not UTF-8, including a character cut in two at the end.
  const std::string quoted = json(printable).dump(-1, ' ', false, json::error_handler_t::replace);
  return json::parse(quoted).get<std::string>();
}

absl::StatusOr<ExecutorReport> ParseExecutorReport(std::string_view text) {
  if (text.size() > kReportBytesMax) {
    return absl::InvalidArgumentError(base::StrCat(
        "the report has ", text.size(), " bytes; at most ", kReportBytesMax, " are allowed"));
  }
  const json report = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!report.is_object()) return absl::InvalidArgumentError("the report is not a JSON object");
  ExecutorReport parsed;
  parsed.content_type = Text(report, "content_type");
  parsed.steps = ParseSteps(report);
  const std::string status = Text(report, "status");
  if (status == "error") {
    absl::StatusOr<Failure> failure = ParseError(report);
    if (!failure.ok()) return failure.status();
    parsed.failure = *std::move(failure);
  } else if (status == "ready") {
    parsed.ready = true;
  } else if (status == "progress") {
    ASSIGN_OR_RETURN(parsed.progress, ParseProgress(report));
  } else if (status != "ok") {
    return absl::InvalidArgumentError(
        "the report's status is none of 'ok', 'ready', 'progress' and 'error'");
  }
  return parsed;
}

}  // namespace ncn::executors
