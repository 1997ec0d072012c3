#include "rewind/watched_calls.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace ncn::rewind {
namespace {

// Waiting, clocks, identity, which keep nothing but in memory.
constexpr std::array kUnwatched = {
    SYS_mincore,        SYS_futex,           SYS_sched_yield,
    SYS_clock_gettime,  SYS_clock_getres,    SYS_gettimeofday,
    SYS_time,           SYS_getrandom,       SYS_nanosleep,
    SYS_poll,           SYS_clock_nanosleep, SYS_getpid,
    SYS_gettid,         SYS_getppid,         SYS_getuid,
    SYS_geteuid,        SYS_getgid,          SYS_getegid,
    SYS_getcpu,         SYS_getrusage,       SYS_times,
    SYS_sysinfo,        SYS_uname,           SYS_exit_group,
    SYS_rt_sigprocmask,  // Masks are restored.
    SYS_rt_sigpending,  SYS_restart_syscall, SYS_sched_getaffinity,
    SYS_seccomp,  // The sandbox's own filter, put on after this one, ends who calls it later.
};
// The same on the conversation; elsewhere they move positions and fill pipes.
constexpr std::array kConversing = {SYS_read,  SYS_readv,  SYS_recvfrom, SYS_recvmsg,
                                    SYS_write, SYS_writev, SYS_sendto};

constexpr std::array kForgetting = {MADV_DONTNEED, MADV_FREE};

// What each call that is stopped at may change, where no argument decides.
constexpr std::array kAsking = {SYS_stat,
                                SYS_lstat,
                                SYS_fstat,
                                SYS_newfstatat,
                                SYS_statx,
                                SYS_access,
                                SYS_faccessat,
                                SYS_faccessat2,
                                SYS_readlink,
                                SYS_readlinkat,
                                SYS_getcwd,
                                SYS_statfs,
                                SYS_fstatfs,
                                SYS_wait4,
                                SYS_sched_getparam,
                                SYS_sched_getscheduler,
                                SYS_get_robust_list,
                                SYS_getpriority,
                                SYS_getgroups,
                                SYS_capget,
                                SYS_getrlimit};
constexpr std::array kMapping = {SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_brk};
constexpr std::array kDescribing = {SYS_close,   SYS_close_range, SYS_dup,       SYS_dup2,
                                    SYS_dup3,    SYS_lseek,       SYS_read,      SYS_readv,
                                    SYS_pread64, SYS_preadv,      SYS_getdents64};

CallEffect Opening(std::uint64_t flags) {
  constexpr std::uint64_t kTemporaryFile = __O_TMPFILE & ~O_DIRECTORY;
  return (flags & (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | kTemporaryFile)) == O_RDONLY
             ? CallEffect::kDescriptors
             : CallEffect::kUnknown;
}

CallEffect Controlling(int command) {
  switch (command) {
    case F_GETFD:
    case F_GETFL:
      return CallEffect::kNothing;
    case F_SETFD:
    case F_SETFL:
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return CallEffect::kDescriptors;
    default:
      return CallEffect::kUnknown;
  }
}

absl::Status Checked(int error, std::string_view what) {
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(
      base::StrCat("filter of watched calls: ", what, ": ", base::ErrnoName(-error)));
}

}  // namespace

absl::StatusOr<std::string> CompileWatchFilter() {
  const std::unique_ptr<void, decltype([](void* filter) { seccomp_release(filter); })> filter(
      seccomp_init(SCMP_ACT_TRACE(0)));
  if (!filter) return absl::ResourceExhaustedError("filter of watched calls: no memory");
  scmp_filter_ctx context = filter.get();
  RETURN_IF_ERROR(Checked(seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
                          "architecture"));
  RETURN_IF_ERROR(Checked(seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2), "binary tree"));
  for (const long call : kUnwatched) {
    RETURN_IF_ERROR(Checked(
        seccomp_rule_add_exact(context, SCMP_ACT_ALLOW, static_cast<int>(call), 0), "a call"));
  }
  // The kernel reads an int of these arguments.
  constexpr std::uint64_t kInt = 0xffffffff;
  for (const int descriptor : {kConversation, kHeldAt}) {
    for (const long call : kConversing) {
      RETURN_IF_ERROR(
          Checked(seccomp_rule_add_exact(
                      context, SCMP_ACT_ALLOW, static_cast<int>(call), 1,
                      SCMP_A0(SCMP_CMP_MASKED_EQ, kInt, static_cast<std::uint64_t>(descriptor))),
                  "conversation"));
    }
  }
  for (const int advice : kForgetting) {
    RETURN_IF_ERROR(Checked(
        seccomp_rule_add_exact(context, SCMP_ACT_ALLOW, static_cast<int>(SYS_madvise), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, kInt, static_cast<unsigned>(advice))),
        "advice"));
  }
  const base::UniqueFd file(::memfd_create("watch-filter", MFD_CLOEXEC));
  if (!file.valid()) return base::ErrnoStatus(errno, "memfd_create");
  RETURN_IF_ERROR(Checked(seccomp_export_bpf(context, file.get()), "export"));
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  std::string program(static_cast<std::size_t>(size), '\0');
  if (::pread(file.get(), program.data(), program.size(), 0) != size || size == 0 ||
      program.size() % sizeof(sock_filter) != 0) {
    return absl::InternalError("filter of watched calls: not read back");
  }
  return program;
}

CallEffect EffectOf(const user_regs_struct& registers) {
  const auto call = static_cast<long>(registers.orig_rax);
  const auto is_one_of = [&](const auto& calls) {
    return std::ranges::find(calls, call) != calls.end();
  };
  if (is_one_of(kAsking)) return CallEffect::kNothing;
  if (is_one_of(kMapping)) return CallEffect::kLayout;
  if (is_one_of(kDescribing)) return CallEffect::kDescriptors;
  // Arguments are in registers, which nobody changes behind our back.
  switch (call) {
    case SYS_madvise:
      return CallEffect::kAdvice;
    case SYS_fadvise64:
      return CallEffect::kDescriptorAdvice;
    case SYS_open:
      return Opening(registers.rsi);
    case SYS_openat:
      return Opening(registers.rdx);
    case SYS_ioctl:  // Whether something is a terminal, which Python asks of each file it opens.
      return static_cast<std::uint32_t>(registers.rsi) == TCGETS ? CallEffect::kNothing
                                                                 : CallEffect::kUnknown;
    case SYS_fcntl:
      return Controlling(static_cast<int>(registers.rsi));
    default:
      return CallEffect::kUnknown;
  }
}

std::string CallName(const user_regs_struct& registers) {
  const auto number = static_cast<int>(registers.orig_rax);
  const std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number), &std::free);
  return name ? std::string(name.get()) : std::to_string(number);
}

}  // namespace ncn::rewind
