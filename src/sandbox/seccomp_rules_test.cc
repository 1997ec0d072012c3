#include "sandbox/seccomp_rules.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cerrno>
#include <random>
#include <string_view>
#include <vector>

#include "sandbox/bpf_interpreter.h"

namespace ncn::embedded {
extern const std::string_view kSeccompBasePolicy;
extern const std::string_view kSeccompPythonPolicy;
extern const std::string_view kSeccompNativePolicy;
}  // namespace ncn::embedded

namespace ncn::sandbox {
namespace {

std::uint32_t KernelAnswer(const SeccompAction& action) {
  switch (action.kind) {
    case SeccompAction::Kind::kAllow:
      return SECCOMP_RET_ALLOW;
    case SeccompAction::Kind::kErrno:
      return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(action.error);
    case SeccompAction::Kind::kNotify:
      return SECCOMP_RET_USER_NOTIF;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

// Arguments near those that rules name: their values, one bit off, other high bits, anything.
SystemCallArguments RandomArguments(std::mt19937_64& random, const std::vector<SeccompRule>& rules,
                                    int number) {
  SystemCallArguments arguments{};
  for (std::uint64_t& argument : arguments) argument = random();
  for (const SeccompRule& rule : rules) {
    if (rule.call.number != number || random() % 2 == 0) continue;
    for (const ArgumentTest& test : rule.tests) {
      std::uint64_t& argument = arguments[test.argument];
      argument = test.value | (random() % 2 == 0 ? argument & ~test.mask : 0);
      if (random() % 3 == 0) argument ^= std::uint64_t{1} << (random() % 64);
    }
  }
  return arguments;
}

// The compiled filter says what the rules mean, on many arguments of every call.
void ExpectFaithful(const std::vector<SeccompRule>& rules, int tries_per_call) {
  absl::StatusOr<std::string> bpf = CompileSeccompRules(rules);
  ASSERT_TRUE(bpf.ok()) << bpf.status();
  std::mt19937_64 random(20260101);
  for (int number = 0; number <= 500; ++number) {
    for (int i = 0; i < tries_per_call; ++i) {
      const SystemCallArguments arguments = RandomArguments(random, rules, number);
      seccomp_data call{
          .nr = number, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = 0, .args = {}};
      for (std::size_t a = 0; a < arguments.size(); ++a) call.args[a] = arguments[a];
      auto answer = RunSeccompFilter(*bpf, call);
      ASSERT_TRUE(answer.ok()) << answer.status();
      ASSERT_EQ(*answer, KernelAnswer(ExpectedAction(rules, number, arguments)))
          << "call " << number << " with " << std::hex << arguments[0] << " " << arguments[1] << " "
          << arguments[2] << " " << arguments[3] << " " << arguments[4] << " " << arguments[5];
    }
  }
}

TEST(SeccompRulesTest, CompiledFiltersSayWhatThePoliciesMean) {
  for (std::string_view profile :
       {embedded::kSeccompPythonPolicy, embedded::kSeccompNativePolicy}) {
    auto own = ParseSeccompPolicy(profile);
    auto base = ParseSeccompPolicy(embedded::kSeccompBasePolicy);
    ASSERT_TRUE(own.ok()) << own.status();
    ASSERT_TRUE(base.ok()) << base.status();
    for (ExecMemory exec_memory : {ExecMemory::kJit, ExecMemory::kDenied}) {
      auto rules = SelectSeccompRules({*own, *base}, exec_memory);
      ASSERT_TRUE(rules.ok()) << rules.status();
      ExpectFaithful(*rules, 200);
    }
  }
}

TEST(SeccompRulesTest, CompilesOverlappingMasksOfSeveralArguments) {
  auto policy = ParseSeccompPolicy(R"({"description": "d", "entries": [
    {"calls": ["mmap", "clone"], "action": "allow", "reason": "r", "when": [
      {"argument": 0, "has_none": {"A": 1, "B": "0x100000000"}}, {"argument": 3, "is": {"X": 7, "Y": 9}}]},
    {"calls": ["mmap", "clone"], "action": "notify", "reason": "r", "when": [
      {"argument": 0, "has_any": {"A": 1, "B": "0x100000000"}}]},
    {"calls": ["mmap", "clone"], "action": "errno:EPERM", "reason": "r", "when": [
      {"argument": 0, "has_none": {"A": 1, "B": "0x100000000"}}, {"argument": 3, "is": {"Z": 11}}]}]})");
  ASSERT_TRUE(policy.ok()) << policy.status();
  auto rules = SelectSeccompRules({*policy}, ExecMemory::kJit);
  ASSERT_TRUE(rules.ok()) << rules.status();
  ExpectFaithful(*rules, 2000);
}

TEST(SeccompRulesTest, RefusesFilesThatContradictEachOther) {
  auto one = ParseSeccompPolicy(
      R"({"description": "d", "entries": [{"calls": ["read"], "action": "allow", "reason": "r"}]})");
  auto other = ParseSeccompPolicy(
      R"({"description": "d", "entries": [{"calls": ["read"], "action": "notify", "reason": "r"}]})");
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(SelectSeccompRules({*one, *other}, ExecMemory::kJit).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SelectSeccompRules({*one, *one}, ExecMemory::kJit).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SeccompRulesTest, WithoutRulesNothingIsAllowed) {
  EXPECT_EQ(ExpectedAction({}, 0, {}), (SeccompAction{SeccompAction::Kind::kErrno, ENOSYS}));
  ExpectFaithful({}, 1);
}

}  // namespace
}  // namespace ncn::sandbox
