// Policy files: whatever the bytes, an error that says something, or a policy whose compiled filter
// answers each call as the policy means it.
#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "sandbox/bpf_interpreter.h"
#include "sandbox/seccomp_policy_file.h"
#include "sandbox/seccomp_rules.h"

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

void CheckAnswer(std::string_view bpf, const std::vector<SeccompRule>& rules, int number,
                 const SystemCallArguments& arguments) {
  seccomp_data call{.nr = number, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = 0, .args = {}};
  for (std::size_t i = 0; i < arguments.size(); ++i) call.args[i] = arguments[i];
  const absl::StatusOr<std::uint32_t> answer = RunSeccompFilter(bpf, call);
  NCN_CHECK(answer.ok());
  NCN_CHECK(*answer == KernelAnswer(ExpectedAction(rules, number, arguments)));
}

// Arguments that pass each rule's tests, miss them by one bit, and none.
void CheckFilter(const std::vector<SeccompRule>& rules) {
  const absl::StatusOr<std::string> bpf = CompileSeccompRules(rules);
  if (!bpf.ok()) return;  // more than a filter can hold: nothing runs
  for (const SeccompRule& rule : rules) {
    SystemCallArguments hit{};
    for (const ArgumentTest& test : rule.tests) hit[test.argument] = test.value;
    CheckAnswer(*bpf, rules, rule.call.number, {});
    CheckAnswer(*bpf, rules, rule.call.number, hit);
    for (const ArgumentTest& test : rule.tests) {
      SystemCallArguments miss = hit;
      miss[test.argument] ^= test.mask & -test.mask;
      CheckAnswer(*bpf, rules, rule.call.number, miss);
      miss[test.argument] = hit[test.argument] | ~test.mask;
      CheckAnswer(*bpf, rules, rule.call.number, miss);
    }
    CheckAnswer(*bpf, rules, rule.call.number + 1, hit);
  }
}

}  // namespace
}  // namespace ncn::sandbox

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ncn::sandbox;  // NOLINT: the entry point must stand outside
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<SeccompPolicy> policy = ParseSeccompPolicy(json);
  if (!policy.ok()) {
    NCN_CHECK(policy.status().code() == absl::StatusCode::kInvalidArgument);
    NCN_CHECK(!policy.status().message().empty());
    return 0;
  }
  for (ExecMemory exec_memory : {ExecMemory::kJit, ExecMemory::kDenied}) {
    const auto rules = SelectSeccompRules({*policy}, exec_memory);
    NCN_CHECK(rules.ok());
    CheckFilter(*rules);
  }
  return 0;
}
