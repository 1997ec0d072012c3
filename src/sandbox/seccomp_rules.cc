#include "sandbox/seccomp_rules.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::sandbox {
namespace {

using Operator = ArgumentTest::Operator;

bool Holds(const ArgumentTest& test, const SystemCallArguments& arguments) {
  const std::uint64_t value = arguments[test.argument];
  if (test.op == Operator::kNotEqual) return value != test.value;
  return (value & test.mask) == test.value;
}

bool AllHold(const ArgumentTests& tests, const SystemCallArguments& arguments) {
  return std::ranges::all_of(tests, [&](const ArgumentTest& t) { return Holds(t, arguments); });
}

// Whether some value of the argument passes both tests.
bool Overlap(const ArgumentTest& a, const ArgumentTest& b) {
  if (a.op == Operator::kMaskedEqual && b.op == Operator::kMaskedEqual) {
    return ((a.value ^ b.value) & a.mask & b.mask) == 0;
  }
  if (a.op == Operator::kNotEqual && b.op == Operator::kNotEqual) return true;
  const ArgumentTest& equal = a.op == Operator::kMaskedEqual ? a : b;
  const ArgumentTest& other = a.op == Operator::kMaskedEqual ? b : a;
  return equal.mask != ~std::uint64_t{0} || equal.value != other.value;
}

// Whether some arguments pass all tests of both: arguments are independent of each other, so the
// rules are apart only if one argument keeps them apart.
bool Overlap(const ArgumentTests& a, const ArgumentTests& b) {
  for (const ArgumentTest& left : a) {
    for (const ArgumentTest& right : b) {
      if (left.argument == right.argument && !Overlap(left, right)) return false;
    }
  }
  return true;
}

absl::Status CheckPair(const SeccompRule& a, const SeccompRule& b) {
  if (a.action == b.action && (a.tests == b.tests || a.tests.empty() || b.tests.empty())) {
    return absl::InvalidArgumentError(
        base::StrCat("system call ", a.call.name, " is decided twice: remove one entry"));
  }
  if (a.action != b.action && Overlap(a.tests, b.tests)) {
    return absl::InvalidArgumentError(
        base::StrCat("system call ", a.call.name, " is decided in contradiction, as ",
                     ToString(a.action), " and as ", ToString(b.action),
                     ": give one entry, or entries whose conditions exclude each other"));
  }
  return absl::OkStatus();
}

absl::Status CheckRules(const std::vector<SeccompRule>& sorted) {
  for (std::size_t begin = 0; begin < sorted.size();) {
    std::size_t end = begin + 1;
    while (end < sorted.size() && sorted[end].call.number == sorted[begin].call.number) ++end;
    if (end - begin > 2 * kSeccompAlternativesMax) {
      return absl::InvalidArgumentError(base::StrCat(
          "system call ", sorted[begin].call.name, " has ", end - begin,
          " alternatives, more than the ", 2 * kSeccompAlternativesMax, " that are allowed"));
    }
    for (std::size_t a = begin; a < end; ++a) {
      for (std::size_t b = a + 1; b < end; ++b) RETURN_IF_ERROR(CheckPair(sorted[a], sorted[b]));
    }
    begin = end;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<SeccompRule>> SelectSeccompRules(
    const std::vector<SeccompPolicy>& policies, ExecMemory exec_memory) {
  std::vector<SeccompRule> rules;
  for (const SeccompPolicy& policy : policies) {
    for (const SeccompEntry& entry : policy.entries) {
      if (entry.exec_memory && *entry.exec_memory != exec_memory) continue;
      for (const SystemCall& call : entry.calls) {
        for (const ArgumentTests& tests : entry.alternatives) {
          rules.push_back({.call = call, .action = entry.action, .tests = tests});
        }
      }
    }
  }
  std::ranges::stable_sort(rules, {}, [](const SeccompRule& rule) { return rule.call.number; });
  RETURN_IF_ERROR(CheckRules(rules));
  return rules;
}

SeccompAction ExpectedAction(const std::vector<SeccompRule>& rules, int number,
                             const SystemCallArguments& arguments) {
  auto rule = std::ranges::lower_bound(rules, number, {},
                                       [](const SeccompRule& r) { return r.call.number; });
  for (; rule != rules.end() && rule->call.number == number; ++rule) {
    if (AllHold(rule->tests, arguments)) return rule->action;
  }
  return {.kind = SeccompAction::Kind::kErrno, .error = ENOSYS};
}

}  // namespace ncn::sandbox
