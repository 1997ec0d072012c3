#include <linux/filter.h>
#include <seccomp.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "sandbox/seccomp_rules.h"

namespace ncn::sandbox {
namespace {

constexpr std::uint32_t kBadArchitecture = SCMP_ACT_KILL_PROCESS;
constexpr std::uint32_t kUnmatched = SCMP_ACT_ERRNO(ENOSYS);

struct ReleaseFilter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, ReleaseFilter>;

// `error` is negative, as libseccomp returns it.
absl::Status LibseccompError(int error, std::string_view what) {
  return absl::InternalError(base::StrCat("seccomp filter not compiled: ", what,
                                          ": libseccomp answers ", base::ErrnoName(-error)));
}

std::uint32_t ToLibseccomp(const SeccompAction& action) {
  switch (action.kind) {
    case SeccompAction::Kind::kAllow:
      return SCMP_ACT_ALLOW;
    case SeccompAction::Kind::kErrno:
      return SCMP_ACT_ERRNO(static_cast<std::uint16_t>(action.error));
    case SeccompAction::Kind::kNotify:
      return SCMP_ACT_NOTIFY;
  }
  return SCMP_ACT_KILL_PROCESS;
}

scmp_arg_cmp ToLibseccomp(const ArgumentTest& test) {
  if (test.op == ArgumentTest::Operator::kNotEqual) {
    return {.arg = test.argument, .op = SCMP_CMP_NE, .datum_a = test.value, .datum_b = 0};
  }
  return {
      .arg = test.argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = test.mask, .datum_b = test.value};
}

absl::Status AddRule(const Filter& filter, const SeccompRule& rule) {
  const std::uint32_t action = ToLibseccomp(rule.action);
  // libseccomp refuses a rule that says what the default says.
  if (action == kUnmatched) return absl::OkStatus();
  std::vector<scmp_arg_cmp> tests;
  for (const ArgumentTest& test : rule.tests) tests.push_back(ToLibseccomp(test));
  const int error = seccomp_rule_add_exact_array(filter.get(), action, rule.call.number,
                                                 static_cast<unsigned>(tests.size()), tests.data());
  return error == 0 ? absl::OkStatus() : LibseccompError(error, rule.call.name);
}

absl::StatusOr<Filter> NewFilter() {
  Filter filter(seccomp_init(kUnmatched));
  if (!filter) return absl::InternalError("seccomp filter not compiled: libseccomp has no memory");
  if (seccomp_arch_native() != SCMP_ARCH_X86_64) {
    return absl::UnimplementedError("the seccomp policies are written for x86-64 only");
  }
  if (int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, kBadArchitecture)) {
    return LibseccompError(error, "action for other architectures");
  }
  // Level 2 sorts calls into a binary tree.
  if (int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2)) {
    return LibseccompError(error, "binary tree");
  }
  return filter;
}

}  // namespace

absl::StatusOr<std::string> CompileSeccompRules(const std::vector<SeccompRule>& rules) {
  ASSIGN_OR_RETURN(Filter filter, NewFilter());
  for (const SeccompRule& rule : rules) RETURN_IF_ERROR(AddRule(filter, rule));
  base::UniqueFd memory(memfd_create("seccomp_filter", MFD_CLOEXEC));
  if (!memory.valid()) return base::ErrnoStatus(errno, "seccomp filter not compiled: memfd_create");
  if (int error = seccomp_export_bpf(filter.get(), memory.get())) {
    return LibseccompError(error, "export");
  }
  if (lseek(memory.get(), 0, SEEK_SET) != 0) {
    return base::ErrnoStatus(errno, "seccomp filter not compiled: lseek");
  }
  ASSIGN_OR_RETURN(std::string bpf,
                   base::ReadAll(memory.get(), BPF_MAXINSNS * sizeof(struct sock_filter)));
  if (bpf.empty() || bpf.size() % sizeof(struct sock_filter) != 0) {
    return absl::InternalError("seccomp filter not compiled: libseccomp exported no whole program");
  }
  return bpf;
}

}  // namespace ncn::sandbox
