#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/inference_response.h"
#include "inference/progress.h"

namespace ncn::executors {

inline constexpr std::size_t kReportBytesMax = 64 * 1024;

// What an executor says beside its output, in OUTPUT.report.json or in a frame's header. Scripts
// that know only the plain file contract write none.
struct ExecutorReport {
  bool ready = false;                           // To a load: instead of an answer.
  std::string content_type;                     // Of the output; empty when not said.
  std::optional<inference::Failure> failure;    // Set when the executor says that it failed.
  std::vector<inference::StepTime> steps;       // As the executor ordered them.
  std::optional<inference::Progress> progress;  // Instead of an answer, which follows.
};

// Reads a report, which is as untrusted as the code that wrote it: bounded, every text made
// printable. InvalidArgument says what is wrong with it. Thread-safe.
absl::StatusOr<ExecutorReport> ParseExecutorReport(std::string_view text);

// `text` cut to `bytes_max` and with everything but printable UTF-8 and spaces replaced, so that it
// can go into a log, a terminal or a message.
std::string Printable(std::string_view text, std::size_t bytes_max);

}  // namespace ncn::executors
