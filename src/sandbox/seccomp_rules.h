#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/seccomp_policy.h"
#include "sandbox/seccomp_policy_file.h"

namespace ncn::sandbox {

// One decision: a call whose arguments pass all tests gets the action.
struct SeccompRule {
  SystemCall call;
  SeccompAction action;
  ArgumentTests tests;
};

using SystemCallArguments = std::array<std::uint64_t, 6>;

// The rules of several policy files under one option, sorted by call number. InvalidArgument when
// two of them could decide one call differently, or say the same twice: so the order of files and
// entries never matters.
absl::StatusOr<std::vector<SeccompRule>> SelectSeccompRules(
    const std::vector<SeccompPolicy>& policies, ExecMemory exec_memory);

// What the rules mean, without a compiler: the action of the rule that matches, errno:ENOSYS when
// none does. The yardstick for compiled filters.
SeccompAction ExpectedAction(const std::vector<SeccompRule>& rules, int number,
                             const SystemCallArguments& arguments);

// Compiles rules for x86-64 to an array of struct sock_filter: an unmatched call fails with ENOSYS,
// a call of another architecture (i386, x32) kills the process. Internal when libseccomp fails.
absl::StatusOr<std::string> CompileSeccompRules(const std::vector<SeccompRule>& rules);

}  // namespace ncn::sandbox
