#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ncn::sandbox {

// How a command that did run ended. That it could not be run is an absl::Status instead.
enum class OutcomeKind {
  kExited,       // By itself; see exit_code.
  kSignalled,    // By a signal that no limit explains; see signal.
  kTimedOut,     // The wall-clock limit passed.
  kCpuLimit,     // The CPU time limit passed.
  kMemoryLimit,  // The memory limit was hit.
  kOutputLimit,  // A file or a stream grew past its bound.
  kViolation,    // It made a forbidden system call; see violation.
  kKilled,       // The caller asked for it.
};
// "exited", "signalled", "timed out", …
std::string_view Name(OutcomeKind kind);

struct Violation {
  int number = -1;   // Of the system call.
  std::string name;  // "ptrace"
};

struct ResourceUsage {
  std::chrono::microseconds wall{0};  // From release to end.
  std::chrono::microseconds cpu{0};   // User and system, of all processes.
  std::uint64_t peak_memory_bytes = 0;
};

struct SetupStepTime {
  std::string name;                 // "root mount"
  std::chrono::microseconds taken;  // Since the step before it.
};

enum class FileAbsence {
  kMissing,
  kNotRegular,  // A folder, symbolic link, device, pipe or socket, or reached through a link.
  kTooLarge,
  kLinked,      // More than one hard link.
  kUnreadable,  // Could not be read, or changed while it was read.
};
std::string_view Name(FileAbsence absence);

// A file asked for by SandboxCommand::collect. What is in it is as hostile as who wrote it.
struct CollectedFile {
  std::string name;
  std::optional<std::string> bytes;             // Present when the file could be had.
  FileAbsence absence = FileAbsence::kMissing;  // Why not, otherwise.
};

struct SandboxOutcome {
  OutcomeKind kind = OutcomeKind::kKilled;
  int exit_code = 0;                        // kExited only.
  int signal = 0;                           // kSignalled only.
  Violation violation;                      // kViolation only.
  std::chrono::milliseconds limit_wall{0};  // The limit that held, for kTimedOut.
  ResourceUsage usage;
  std::vector<std::string> layers;  // Really in force: "seccomp", "landlock-abi-7", "pid-namespace"
  std::vector<std::string> missing;  // Wanted and not had, with the reason; empty in strict mode.
  std::vector<SetupStepTime> steps;
  std::string stdout_tail;
  std::string stderr_tail;
  std::vector<CollectedFile> files;  // In the order of SandboxCommand::collect.

  bool Succeeded() const { return kind == OutcomeKind::kExited && exit_code == 0; }
  // The collected file of that name; null when it was not asked for or could not be had.
  const std::string* File(std::string_view name) const;
  // One line without a full stop: "Timeout after 300s", "forbidden system call ptrace(101)",
  // "exit code 1", "killed by SIGSEGV".
  std::string Describe() const;
  // The path of the last "Permission denied" that stderr speaks of, as Python and the C library
  // word it: "Landlock: Access denied to /some/path" is made of it.
  std::optional<std::string> DeniedPath() const;
};

}  // namespace ncn::sandbox
