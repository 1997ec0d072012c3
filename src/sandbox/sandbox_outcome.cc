#include "sandbox/sandbox_outcome.h"

#include <cmath>
#include <cstring>

#include "base/strings.h"

namespace ncn::sandbox {
namespace {

std::string SignalName(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? base::StrCat("SIG", name) : base::StrCat("signal ", signal);
}

// "300s", or "0.25s" below whole seconds.
// To the tenth below ten seconds, to the second above: what a person set, whatever microseconds of
// a deadline had passed before.
std::string Seconds(std::chrono::microseconds time) {
  const double tenths = std::round(static_cast<double>(time.count()) / 100'000.0);
  return base::StrCat(tenths >= 100 ? std::round(tenths / 10) : tenths / 10, "s");
}

}  // namespace

std::string_view Name(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::kExited:
      return "exited";
    case OutcomeKind::kSignalled:
      return "signalled";
    case OutcomeKind::kTimedOut:
      return "timed out";
    case OutcomeKind::kCpuLimit:
      return "cpu limit";
    case OutcomeKind::kMemoryLimit:
      return "memory limit";
    case OutcomeKind::kOutputLimit:
      return "output limit";
    case OutcomeKind::kViolation:
      return "violation";
    case OutcomeKind::kKilled:
      return "killed";
  }
  return "unknown";
}

std::string_view Name(FileAbsence absence) {
  switch (absence) {
    case FileAbsence::kMissing:
      return "missing";
    case FileAbsence::kNotRegular:
      return "not a regular file";
    case FileAbsence::kTooLarge:
      return "too large";
    case FileAbsence::kLinked:
      return "more than one link";
    case FileAbsence::kUnreadable:
      return "unreadable";
  }
  return "unknown";
}

const std::string* SandboxOutcome::File(std::string_view name) const {
  for (const CollectedFile& file : files) {
    if (file.name == name) return file.bytes.has_value() ? &*file.bytes : nullptr;
  }
  return nullptr;
}

std::string SandboxOutcome::Describe() const {
  switch (kind) {
    case OutcomeKind::kExited:
      return base::StrCat("exit code ", exit_code);
    case OutcomeKind::kSignalled:
      return base::StrCat("killed by ", SignalName(signal));
    case OutcomeKind::kTimedOut:
      return base::StrCat("Timeout after ", Seconds(limit_wall));
    case OutcomeKind::kCpuLimit:
      return base::StrCat("CPU time limit reached after ", Seconds(usage.cpu));
    case OutcomeKind::kMemoryLimit:
      return "memory limit reached";
    case OutcomeKind::kOutputLimit:
      return "output limit reached";
    case OutcomeKind::kViolation:
      return base::StrCat("forbidden system call ", violation.name, "(", violation.number, ")");
    case OutcomeKind::kKilled:
      return "killed on request";
  }
  return "unknown";
}

std::optional<std::string> SandboxOutcome::DeniedPath() const {
  // Python: PermissionError: [Errno 13] Permission denied: '/some/path'
  // C library: cat: /some/path: Permission denied
  constexpr std::string_view kDenied = "Permission denied";
  const std::string_view text = stderr_tail;
  const std::size_t at = text.rfind(kDenied);
  if (at == std::string_view::npos) return std::nullopt;
  const std::size_t line_begin = text.rfind('\n', at) + 1;  // npos + 1 is 0.
  const std::size_t line_end = text.find('\n', at);
  const std::string_view before = text.substr(line_begin, at - line_begin);
  const std::string_view after = text.substr(at + kDenied.size(), line_end - at - kDenied.size());
  if (after.substr(0, 3) == ": '") {
    const std::size_t end = after.find('\'', 3);
    if (end != std::string_view::npos) return std::string(after.substr(3, end - 3));
  }
  const std::size_t slash = before.find('/');
  const std::size_t end = before.rfind(": ");
  if (slash == std::string_view::npos || end == std::string_view::npos || end < slash) {
    return std::nullopt;
  }
  return std::string(before.substr(slash, end - slash));
}

}  // namespace ncn::sandbox
