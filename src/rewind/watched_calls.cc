#include "rewind/watched_calls.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
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
  // Flags are in registers, which nobody changes behind our back.
  const auto opens = [](std::uint64_t flags) {
    return (flags & (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | __O_TMPFILE)) == O_RDONLY
               ? CallEffect::kDescriptors
               : CallEffect::kUnknown;
  };
  switch (registers.orig_rax) {
    case SYS_stat:
    case SYS_lstat:
    case SYS_fstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_access:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlink:
    case SYS_readlinkat:
    case SYS_getcwd:
    case SYS_statfs:
    case SYS_fstatfs:
    case SYS_wait4:
    case SYS_sched_getparam:
    case SYS_sched_getscheduler:
    case SYS_get_robust_list:
    case SYS_getpriority:
    case SYS_getgroups:
    case SYS_capget:
    case SYS_getrlimit:
      return CallEffect::kNothing;
    case SYS_mmap:
    case SYS_munmap:
    case SYS_mremap:
    case SYS_mprotect:
    case SYS_brk:
      return CallEffect::kLayout;
    case SYS_madvise:
      return CallEffect::kAdvice;
    case SYS_open:
      return opens(registers.rsi);
    case SYS_openat:
      return opens(registers.rdx);
    case SYS_close:
    case SYS_close_range:
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
    case SYS_lseek:
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
    case SYS_preadv:
    case SYS_getdents64:
      return CallEffect::kDescriptors;
    case SYS_ioctl:  // Whether something is a terminal, which Python asks of each file it opens.
      return static_cast<std::uint32_t>(registers.rsi) == TCGETS ? CallEffect::kNothing
                                                                 : CallEffect::kUnknown;
    case SYS_fcntl:
      switch (static_cast<int>(registers.rsi)) {
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
    default:
      return CallEffect::kUnknown;
  }
}

}  // namespace ncn::rewind
