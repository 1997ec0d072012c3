#include "sandbox/confinement.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ncn::sandbox {
namespace {

constexpr unsigned long kSecurebits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

}  // namespace

bool TakeIdentity(const LaunchRequest& request, SetupJournal& journal) {
  // An ordinary user's namespace may not call setgroups; its groups stay, without meaning inside.
  if (::syscall(SYS_setgroups, 0, nullptr) != 0 && errno != EPERM) {
    return journal.FailErrno("setgroups");
  }
  const auto gid = request.inside_gid;
  const auto uid = request.inside_uid;
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0) return journal.FailErrno("setresgid");
  if (::syscall(SYS_setresuid, uid, uid, uid) != 0) return journal.FailErrno("setresuid");
  return true;
}

bool ForbidNewPrivileges(SetupJournal& journal) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return journal.FailErrno("PR_SET_NO_NEW_PRIVS");
  // Best effort: a processor that is not affected, or a kernel that decides itself, refuses.
  ::prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_FORCE_DISABLE, 0, 0);
  ::prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE, 0, 0);
  return true;
}

bool DropCapabilities(SetupJournal& journal) {
  // Without CAP_SETPCAP (no user namespace of our own) there is nothing to lock or drop there.
  if (::prctl(PR_SET_SECUREBITS, kSecurebits, 0, 0, 0) != 0 && errno != EPERM) {
    return journal.FailErrno("PR_SET_SECUREBITS");
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  unsigned long capability = 0;
  while (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) ++capability;
  // EINVAL: past the last one that this kernel knows.
  if (errno != EINVAL && errno != EPERM) return journal.FailErrno("PR_CAPBSET_DROP");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return journal.FailErrno("capset");
  return true;
}

bool SetRlimits(const LaunchRequest& request, SetupJournal& journal) {
  for (const Rlimit& limit : request.rlimits) {
    const rlimit value{limit.soft, limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) != 0) {
      return journal.FailErrno("setrlimit " + std::to_string(limit.resource));
    }
  }
  return true;
}

bool InstallSeccomp(const std::string& bpf, int* listener, SetupJournal& journal) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(bpf.size() / sizeof(sock_filter));
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(bpf.data()));
  const unsigned flags = listener != nullptr ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
  const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (result < 0) return journal.FailErrno("seccomp");
  if (listener != nullptr) *listener = static_cast<int>(result);
  return true;
}

bool AllowOnlyReaping() {
  constexpr std::array kAllowed = {SYS_wait4, SYS_write, SYS_exit_group,
                                   SYS_brk,   SYS_mmap,  SYS_munmap};
  constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  for (const long call : kAllowed) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

}  // namespace ncn::sandbox
