#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/seccomp_policy.h"

namespace ncn::sandbox {

// Bounds of one policy file; a larger one is refused.
inline constexpr std::size_t kSeccompPolicyBytesMax = 256 * 1024;
inline constexpr std::size_t kSeccompEntriesMax = 256;
inline constexpr std::size_t kSeccompCallsPerEntryMax = 128;
inline constexpr std::size_t kSeccompReasonBytesMax = 400;
inline constexpr std::size_t kSeccompConditionsMax = 6;  // one for each argument
inline constexpr std::size_t kSeccompValuesPerConditionMax = 64;
inline constexpr std::size_t kSeccompAlternativesMax = 64;  // an entry's conditions, multiplied out
inline constexpr int kSystemCallNumberMax = 4095;

// What the kernel does with a call.
struct SeccompAction {
  enum class Kind { kAllow, kErrno, kNotify };
  Kind kind = Kind::kNotify;
  int error = 0;  // errno of kErrno, otherwise 0

  friend bool operator==(const SeccompAction&, const SeccompAction&) = default;
};

// "allow", "errno:EPERM" or "notify", as a policy file spells it.
std::string ToString(const SeccompAction& action);

// A test of one argument of a call, as 64 unsigned bits. kNotEqual has all bits in `mask`.
struct ArgumentTest {
  enum class Operator { kMaskedEqual, kNotEqual };
  unsigned argument = 0;  // 0 to 5
  Operator op = Operator::kMaskedEqual;
  std::uint64_t mask = ~std::uint64_t{0};
  std::uint64_t value = 0;

  friend bool operator==(const ArgumentTest&, const ArgumentTest&) = default;
};

// Tests that must all hold, sorted by argument, at most one for each argument.
using ArgumentTests = std::vector<ArgumentTest>;

struct SystemCall {
  std::string name;
  int number = 0;
};

// One entry of a policy file.
struct SeccompEntry {
  std::vector<SystemCall> calls;
  SeccompAction action;
  // The entry holds when any of these does. Never empty: a call without conditions has one
  // alternative without tests.
  std::vector<ArgumentTests> alternatives;
  std::optional<ExecMemory> exec_memory;  // the entry is there under this option only
  std::string reason;
};

// One policy file, its own entries only. A value; policies/README.md describes the file.
struct SeccompPolicy {
  std::vector<std::string> includes;
  std::map<std::string, int> numbers;  // calls that libseccomp may be too old to know
  std::vector<SeccompEntry> entries;
};

// Parses and checks one policy file. InvalidArgument names the entry and what is wrong with it:
// malformed JSON, an unknown or repeated key, an entry without a reason, an unknown call, a call
// decided twice or in contradiction, or a bound above exceeded. Thread-safe.
absl::StatusOr<SeccompPolicy> ParseSeccompPolicy(std::string_view json);

}  // namespace ncn::sandbox
