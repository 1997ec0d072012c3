#include "attacks.h"

#include <sys/socket.h>

namespace ncn::sandbox {
namespace {

using inference::ExecutionLimits;

constexpr auto kExited = OutcomeKind::kExited;
constexpr auto kViolation = OutcomeKind::kViolation;
constexpr auto kSignalled = OutcomeKind::kSignalled;
constexpr auto kMemory = OutcomeKind::kMemoryLimit;
constexpr auto kOutput = OutcomeKind::kOutputLimit;
constexpr auto kAsRoot = Control::kRunAsRoot;
constexpr auto kSkip = Control::kSkip;
constexpr auto kNotAsPid1 = Attack::AsPid1::kNone;

std::string Number(int value) { return std::to_string(value); }

void LargeWorkspace(ExecutionLimits& limits) { limits.workspace_bytes = 1 << 30; }
void OneSecondOfCpu(ExecutionLimits& limits) { limits.cpu_time = std::chrono::seconds(1); }
void ShortClock(ExecutionLimits& limits) { limits.wall_clock = std::chrono::milliseconds(300); }

// Tables: clang-format would give every field a line of its own.
// clang-format off
std::vector<Attack> OnFiles() {
  return {
      {"read /etc/passwd", {"open_for_reading", "/etc/passwd"}, "landlock", kExited, "EACCES"},
      {"read /etc/shadow", {"open_for_reading", "/etc/shadow"}, "mount namespace", kExited,
       "ENOENT EACCES", kAsRoot},
      {"read the node's key", {"open_for_reading", "{secret}"}, "mount namespace", kExited,
       "ENOENT EACCES"},
      {"write to /usr", {"open_for_writing", "/usr/bin/true"}, "landlock + read-only mount",
       kExited, "EACCES EROFS", kAsRoot},
      {"escape by ..", {"dotdot", "{secret}"}, "mount namespace", kExited, "ENOENT EACCES"},
      {"escape by chroot", {"chroot_escape", "{secret}"}, "seccomp", kViolation, "chroot", kAsRoot},
      {"symbolic link in /work", {"symlink_out", "{secret}"}, "seccomp + mount namespace", kExited,
       "EPERM ENOENT EACCES"},
      {"rename out of /work", {"rename_out", "{folder}"}, "mount namespace", kExited,
       "ENOENT EXDEV EACCES"},
      {"overwrite by /proc/self/exe", {"overwrite_running"}, "landlock + read-only mount", kExited,
       "denied Read-only", kSkip},
      {"truncate a file of the host", {"truncate_file", "{victim}"}, "mount namespace", kExited,
       "ENOENT EACCES"},
      {"truncate a program", {"truncate_file", "/usr/bin/true"}, "landlock + read-only mount",
       kExited, "EACCES EROFS", kSkip},
      {"overwrite the running program", {"open_for_writing", "/hostile/open_for_writing"},
       "landlock + read-only mount", kExited, "EACCES EROFS ETXTBSY", kSkip},
      {"mount", {"mount_tmpfs"}, "seccomp", kViolation, "mount", kAsRoot},
      {"remount writable", {"remount_writable", "/usr"}, "seccomp", kViolation, "mount", kSkip},
      {"unmount", {"unmount", "/usr"}, "seccomp", kViolation, "umount2", kSkip},
      {"open_tree", {"open_tree"}, "seccomp", kViolation, "open_tree", kAsRoot},
      {"pivot_root", {"pivot_back"}, "seccomp", kViolation, "pivot_root", kSkip},
      {"make a device", {"make_device"}, "seccomp", kViolation, "mknodat mknod", kAsRoot},
      {"open by handle", {"open_by_handle"}, "seccomp", kViolation, "open_by_handle_at", kAsRoot},
      {"old root by /proc/1/root", {"open_for_reading", "/proc/1/root/etc/hostname"}, "landlock",
       kExited, "EACCES", kSkip, nullptr, kNotAsPid1},
      {"run a written program", {"exec_copy"}, "noexec mount + landlock", kExited, "EACCES"},
      {"run a written program by ld.so", {"exec_by_loader"}, "noexec mount", kExited, ""},
      {"map written code", {"map_code"}, "noexec mount", kExited, "EPERM"},
      {"run a program in memory", {"exec_memfd"}, "seccomp", kExited, "EACCES"},
      {"run by /proc/self/fd", {"exec_proc_fd"}, "noexec mount + landlock", kExited, "EACCES"},
      {"fill /work by bytes", {"fill_bytes", ".", "64"}, "bounded tmpfs", kExited, "ENOSPC"},
      {"fill /work by inodes", {"fill_inodes", "4096"}, "bounded tmpfs", kExited, "ENOSPC"},
      {"file past the size limit", {"big_file", "24"}, "RLIMIT_FSIZE", kOutput, "EFBIG",
       Control::kRun, nullptr, Attack::AsPid1::kOther},
  };
}

std::vector<Attack> OnProcAndDevices() {
  return {
      {"write /proc/self/mem", {"write_own_memory"}, "landlock + read-only proc", kExited,
       "EACCES EROFS"},
      {"read kallsyms", {"open_for_reading", "/proc/kallsyms"}, "landlock", kExited, "EACCES"},
      {"read kernel keys", {"open_for_reading", "/proc/keys"}, "landlock", kExited, "EACCES"},
      {"read the kernel's memory", {"open_for_reading", "/proc/kcore"}, "landlock", kExited,
       "EACCES ENOENT", kSkip},
      {"list processes", {"list_folder", "/proc"}, "landlock", kExited, "EACCES"},
      {"look at the node", {"open_for_reading", "/proc/{pid}/status"}, "pid namespace", kExited,
       "ENOENT EACCES"},
      {"list devices", {"list_folder", "/dev"}, "landlock", kExited, "EACCES"},
      {"list /sys", {"list_folder", "/sys"}, "mount namespace", kExited, "ENOENT EACCES"},
      {"write a sysctl", {"open_for_writing", "/proc/sys/kernel/hostname"},
       "landlock + read-only proc", kExited, "EACCES EROFS", kAsRoot},
      {"name the core handler", {"open_for_writing", "/proc/sys/kernel/core_pattern"},
       "landlock + read-only proc", kExited, "EACCES EROFS", kSkip},
      {"press SysRq", {"open_for_writing", "/proc/sysrq-trigger"}, "landlock + read-only proc",
       kExited, "EACCES EROFS ENOENT", kSkip},
      {"escape the OOM killer", {"open_for_writing", "/proc/self/oom_score_adj"},
       "landlock + read-only proc", kExited, "EACCES EROFS"},
      {"read the kernel log", {"open_for_reading", "/dev/kmsg"}, "five devices", kExited,
       "ENOENT EACCES", kSkip},
      {"read physical memory", {"open_for_reading", "/dev/mem"}, "five devices", kExited,
       "ENOENT EACCES", kSkip},
      {"open a terminal", {"open_for_writing", "/dev/ptmx"}, "five devices", kExited,
       "ENOENT EACCES"},
      {"open a network tunnel", {"open_for_writing", "/dev/net/tun"}, "five devices", kExited,
       "ENOENT EACCES", kSkip},
      {"open the virtual machine monitor", {"open_for_writing", "/dev/kvm"}, "five devices",
       kExited, "ENOENT EACCES", kSkip},
      {"type into the terminal", {"inject_terminal"}, "seccomp", kViolation, "ioctl", kSkip},
      {"type with high bits set", {"inject_terminal", "64"}, "seccomp", kViolation, "ioctl",
       kSkip},
      {"read the terminal", {"wait_for_input"}, "empty stdin", kExited, "ENODATA", kSkip},
      {"environment of pid 1", {"open_for_reading", "/proc/1/environ"}, "landlock", kExited,
       "EACCES", kSkip, nullptr, kNotAsPid1},
      {"parent's environment", {"parent_environment"}, "landlock + pid namespace", kExited,
       "EACCES", Control::kRun, nullptr, kNotAsPid1},
      {"parent's memory", {"parent_memory"}, "landlock + pid namespace", kExited, "EACCES EROFS",
       Control::kRun, nullptr, kNotAsPid1},
      {"signal the node", {"signal_process", "{pid}"}, "pid namespace", kExited, "ESRCH"},
      {"signal the parent", {"signal_process"}, "landlock", kExited, "EPERM", Control::kRun, nullptr,
       kNotAsPid1},
      {"signal everybody", {"signal_everybody"}, "landlock + pid namespace", kExited,
       "ESRCH EPERM", kSkip},
  };
}

std::vector<Attack> OnNetworkAndIpc() {
  const std::string stream = Number(SOCK_STREAM), raw = Number(SOCK_RAW);
  const std::string no_family = "EAFNOSUPPORT";
  return {
      {"internet socket", {"open_socket", Number(AF_INET), stream}, "seccomp + network namespace",
       kExited, no_family},
      {"internet 6 socket", {"open_socket", Number(AF_INET6), stream},
       "seccomp + network namespace", kExited, no_family, kSkip},
      {"netlink socket", {"open_socket", Number(AF_NETLINK), raw}, "seccomp", kExited, no_family},
      {"packet socket", {"open_socket", Number(AF_PACKET), raw}, "seccomp", kExited, no_family,
       kAsRoot},
      {"vsock socket", {"open_socket", Number(AF_VSOCK), stream}, "seccomp", kExited, no_family,
       kSkip},
      {"kernel crypto socket", {"open_socket", Number(AF_ALG), Number(SOCK_SEQPACKET)}, "seccomp",
       kExited, no_family, kSkip},
      {"connect to the loopback", {"connect_loopback", "{port}"}, "seccomp + network namespace",
       kExited, no_family},
      {"datagram to the loopback", {"connect_loopback", "{datagram port}", "datagram"},
       "seccomp + network namespace", kExited, no_family},
      {"name a socket", {"name_socket_pair"}, "seccomp", kExited, "ENOSYS"},
      {"abstract unix socket", {"connect_unix", "{abstract}"}, "seccomp + network namespace",
       kExited, no_family},
      {"pathname unix socket", {"connect_unix", "{socket}"}, "seccomp + mount namespace", kExited,
       no_family},
      {"System V shared memory", {"sysv_memory"}, "seccomp + ipc namespace", kExited, "ENOSYS"},
      {"System V queue", {"sysv_queue"}, "seccomp + ipc namespace", kExited, "ENOSYS"},
      {"System V semaphore", {"sysv_semaphore"}, "seccomp + ipc namespace", kExited, "ENOSYS"},
      {"host's shared memory", {"open_for_reading", "{segment}"}, "mount namespace", kExited,
       "ENOENT EACCES"},
      {"lock a shared file", {"lock_file", "/usr/bin/true", "flock"}, "seccomp", kExited,
       "ENOSYS"},
      {"record lock", {"lock_file", "/usr/bin/true", "record"}, "seccomp", kExited, "ENOSYS"},
      {"open file's lock", {"lock_file", "/usr/bin/true", "open"}, "seccomp", kExited, "ENOSYS"},
      {"lease", {"lock_file", "/usr/bin/true", "lease"}, "seccomp", kExited, "ENOSYS", kAsRoot},
      {"watch a shared file", {"watch_file", "/usr/bin/true"}, "seccomp", kExited, "ENOSYS"},
      {"POSIX message queue", {"posix_queue"}, "seccomp + ipc namespace", kExited, "ENOSYS", kSkip},
  };
}

std::vector<Attack> OnPrivileges() {
  return {
      {"unshare", {"new_user_namespace"}, "seccomp", kViolation, "unshare"},
      {"clone with NEWUSER", {"clone_user_namespace"}, "seccomp", kViolation, "clone"},
      {"clone3 with NEWUSER", {"clone3_user_namespace"}, "seccomp", kExited, "ENOSYS"},
      {"setns", {"enter_namespace"}, "seccomp", kViolation, "setns", kAsRoot},
      {"ptrace", {"trace_child"}, "seccomp", kViolation, "ptrace"},
      {"process_vm_readv", {"read_process_memory"}, "seccomp", kViolation, "process_vm_readv"},
      {"keyctl", {"use_keyring"}, "seccomp", kViolation, "keyctl", kSkip},
      {"bpf", {"load_bpf"}, "seccomp", kViolation, "bpf", kSkip},
      {"io_uring", {"use_io_uring"}, "seccomp", kViolation, "io_uring_setup", kSkip},
      {"userfaultfd", {"use_userfaultfd"}, "seccomp", kViolation, "userfaultfd", kSkip},
      {"perf_event_open", {"use_perf"}, "seccomp", kViolation, "perf_event_open", kSkip},
      {"setuid(0)", {"become_root"}, "seccomp", kViolation, "setuid", kAsRoot},
      {"personality", {"change_personality"}, "seccomp", kViolation, "personality"},
      {"32-bit system call", {"call_32_bit"}, "seccomp", kSignalled, "SIGSYS", kSkip},
      {"capabilities after execve", {"keep_capabilities"}, "capabilities", kExited, "EPERM",
       kAsRoot},
  };
}

std::vector<Attack> OnResources() {
  return {
      {"fork bomb", {"fork_bomb", "100"}, "RLIMIT_NPROC + pids cgroup", kExited, "EAGAIN"},
      {"raise a limit", {"raise_limits"}, "seccomp", kExited, "EPERM"},
      {"thread bomb", {"thread_bomb", "100"}, "RLIMIT_NPROC + pids cgroup", kExited, "EAGAIN"},
      {"allocate past the limit", {"allocate", "256"}, "memory limit", kMemory, ""},
      {"allocate in children", {"allocate_in_children", "256"}, "memory limit", kMemory, ""},
      {"memory by shared mapping", {"allocate_shared", "256"}, "memory limit", kMemory, ""},
      {"memory by /dev/shm", {"fill_bytes", "/dev/shm", "256"}, "memory limit", kMemory, "", kSkip,
       LargeWorkspace},
      {"address space past its limit", {"allocate", "1000000"}, "RLIMIT_AS", kExited, "ENOMEM",
       kSkip},
      {"spin", {"spin", "3"}, "RLIMIT_CPU", OutcomeKind::kCpuLimit, "", kSkip, OneSecondOfCpu},
      {"sleep for ever", {"sleep_long", "60"}, "wall clock", OutcomeKind::kTimedOut, "", kSkip,
       ShortClock},
      {"flood stdout", {"flood_output", "32"}, "bounded stream", kOutput, "", kSkip},
  };
}

std::vector<Attack> OnLeaks() {
  return {
      {"core for a handler", {"core_limit"}, "RLIMIT_CORE", kExited, "EFBIG", kSkip},
      {"core dump", {"dump_core"}, "RLIMIT_CORE", kSignalled, "SIGABRT SIGSEGV", kSkip},
      {"inherited descriptors", {"inherited_descriptors"}, "close_range", kExited, "EBADF", kSkip},
      {"inherited environment", {"inherited_environment"}, "own environment", kExited, "ENOENT",
       kSkip},
  };
}
// clang-format on

}  // namespace

const std::vector<Attack>& Attacks() {
  static const std::vector<Attack>& attacks = *[] {
    auto* all = new std::vector<Attack>;
    for (const auto& part : {OnFiles(), OnProcAndDevices(), OnNetworkAndIpc(), OnPrivileges(),
                             OnResources(), OnLeaks()}) {
      all->insert(all->end(), part.begin(), part.end());
    }
    return all;
  }();
  return attacks;
}

}  // namespace ncn::sandbox
