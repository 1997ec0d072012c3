#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "sandbox/sandbox.h"

namespace ncn::sandbox {

// Whether the attack is also run without a sandbox, to prove that it works when nothing stops it.
enum class Control { kRun, kRunAsRoot, kSkip };

// One hostile program and how it must end. A new attack is a file in tests/hostile and a line here.
struct Attack {
  std::string name;
  std::vector<std::string> words;  // Program and arguments; "{secret}" and others are filled in.
  std::string stopped_by;          // The layer, as the table prints it.
  OutcomeKind kind = OutcomeKind::kExited;
  // For kExited, the errno that the program says stopped it (one of several, with blanks between);
  // for kViolation, the system call.
  std::string how;
  Control control = Control::kRun;
  std::function<void(inference::ExecutionLimits&)> adjust = nullptr;  // Of TestLimits().
  // A zygote's child is pid 1: no process is above it, and of signals it gets only those that it
  // handles. kOther: its outcome differs, to that of `how` by a plain exit. kNone: no such attack.
  enum class AsPid1 { kSame, kOther, kNone } as_pid_1 = AsPid1::kSame;
};

// In a failed test's message.
inline void PrintTo(const Attack& attack, std::ostream* out) { *out << attack.name; }

const std::vector<Attack>& Attacks();

}  // namespace ncn::sandbox
