// The filters under the real kernel: each test installs one in a child and looks what calls do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "sandbox/seccomp_policy.h"

namespace ncn::sandbox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int kListener = 200;  // where the child keeps its listener until it was fetched

// How a child under the filter ended, and the hostile calls that the kernel reported.
struct Ended {
  int wait_status = -1;
  std::vector<std::string> notified;

  int exit_code() const { return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1; }
  int signal() const { return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0; }
};

// In the child: installs the filter, tells the parent, waits until it has the listener.
void Confine(const SeccompProgram& program, int ready, int go) {
  std::string bpf = program.bpf;
  const sock_fprog filter{.len = static_cast<unsigned short>(bpf.size() / sizeof(sock_filter)),
                          .filter = reinterpret_cast<sock_filter*>(bpf.data())};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(250);
  const long listener =
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  if (listener < 0 || dup2(static_cast<int>(listener), kListener) != kListener) _exit(251);
  close(static_cast<int>(listener));
  char byte = 0;
  if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) _exit(252);
  close(kListener);
}

// Answers hostile calls with EPERM until the child has ended.
std::vector<std::string> ServeNotifications(int listener, int pidfd) {
  std::vector<std::string> names;
  for (;;) {
    pollfd events[] = {{.fd = listener, .events = POLLIN, .revents = 0},
                       {.fd = pidfd, .events = POLLIN, .revents = 0}};
    if (poll(events, 2, -1) < 0 && errno != EINTR) return names;
    if ((events[0].revents & POLLIN) != 0) {
      seccomp_notif call{};
      if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
      names.push_back(SystemCallName(call.data.nr));
      seccomp_notif_resp answer{.id = call.id, .val = 0, .error = -EPERM, .flags = 0};
      ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    } else if (events[1].revents != 0) {
      return names;
    }
  }
}

// Runs `body` under the filter in a child; what it returns is the child's exit code.
Ended RunUnder(SeccompProfile profile, ExecMemory exec_memory, const std::function<int()>& body) {
  auto program = CompileSeccompPolicy(profile, exec_memory);
  EXPECT_TRUE(program.ok()) << program.status();
  if (!program.ok()) return {};
  int ready[2], go[2];
  EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(go, O_CLOEXEC), 0);
  const base::UniqueFd ready_read(ready[0]), go_write(go[1]);
  base::UniqueFd ready_write(ready[1]), go_read(go[0]);
  const pid_t child = fork();
  if (child == 0) {
    Confine(**program, ready_write.get(), go_read.get());
    _exit(body());
  }
  ready_write.reset();
  go_read.reset();
  Ended run;
  char byte = 0;
  const base::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  if (read(ready_read.get(), &byte, 1) == 1) {
    const base::UniqueFd listener(
        static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), kListener, 0)));
    EXPECT_TRUE(listener.valid()) << "pidfd_getfd: errno " << errno;
    EXPECT_EQ(write(go_write.get(), &byte, 1), 1);
    run.notified = ServeNotifications(listener.get(), pidfd.get());
  }
  EXPECT_EQ(waitpid(child, &run.wait_status, 0), child);
  return run;
}

Ended RunPython(const std::function<int()>& body) {
  return RunUnder(SeccompProfile::kPython, ExecMemory::kJit, body);
}

// The error of a call; 0 when it went well.
template <typename... Arguments>
int ErrorOf(long number, Arguments... arguments) {
  return syscall(number, arguments...) < 0 ? errno : 0;
}

TEST(SeccompKernelTest, LetsAnOrdinaryProgramLive) {
  for (SeccompProfile profile : {SeccompProfile::kPython, SeccompProfile::kNative}) {
    for (ExecMemory exec_memory : {ExecMemory::kJit, ExecMemory::kDenied}) {
      const Ended run = RunUnder(profile, exec_memory, [] {
        execl("/bin/sh", "sh", "-c", "test \"$(echo one two | cut -d ' ' -f 2)\" = two",
              static_cast<char*>(nullptr));
        return 99;
      });
      EXPECT_EQ(run.exit_code(), 0) << "signal " << run.signal();
      EXPECT_THAT(run.notified, IsEmpty());
    }
  }
}

TEST(SeccompKernelTest, AnswersUnknownCallsWithNotImplemented) {
  EXPECT_EQ(RunPython([] { return ErrorOf(9999); }).exit_code(), ENOSYS);
  EXPECT_EQ(RunPython([] { return ErrorOf(SYS_clone3, nullptr, 0); }).exit_code(), ENOSYS);
  EXPECT_EQ(RunPython([] { return ErrorOf(SYS_flock, 0, 0); }).exit_code(), ENOSYS);
}

TEST(SeccompKernelTest, ReportsHostileCallsByName) {
  const Ended run = RunPython([] {
    ErrorOf(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    ErrorOf(SYS_unshare, CLONE_NEWUSER);
    ErrorOf(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    ErrorOf(SYS_setuid, 0);
    ErrorOf(SYS_bpf, 0, 0, 0);
    ErrorOf(SYS_io_uring_setup, 1, 0);
    ErrorOf(SYS_memfd_create, "x", 0);
    ErrorOf(SYS_execveat, -1, "", 0, 0, 0);
    return ErrorOf(467, -1, "", 0, 0, 0);
  });
  EXPECT_EQ(run.exit_code(), EPERM);
  EXPECT_THAT(run.notified,
              ElementsAre("ptrace", "unshare", "clone", "setuid", "bpf", "io_uring_setup",
                          "memfd_create", "execveat", "open_tree_attr"));
}

TEST(SeccompKernelTest, SeesARequestWithHighBitsSet) {
  const Ended run =
      RunPython([] { return ErrorOf(SYS_ioctl, 0, (0xdeadbeefUL << 32) | TIOCSTI, "x"); });
  EXPECT_EQ(run.exit_code(), EPERM);
  EXPECT_THAT(run.notified, ElementsAre("ioctl"));
}

TEST(SeccompKernelTest, OffersNoNetwork) {
  for (int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK}) {
    EXPECT_EQ(RunPython([=] { return ErrorOf(SYS_socket, family, SOCK_STREAM, 0); }).exit_code(),
              EAFNOSUPPORT);
  }
  const Ended run = RunPython([] {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return 1;
    if (send(pair[0], "x", 1, 0) != 1) return 2;
    sockaddr address{.sa_family = AF_UNIX, .sa_data = {}};
    if (sendto(pair[0], "x", 1, 0, &address, sizeof(address)) >= 0 || errno != EPERM) return 3;
    if (connect(pair[0], &address, sizeof(address)) == 0 || errno != ENOSYS) return 4;
    char byte = 0;
    return recv(pair[1], &byte, 1, 0) == 1 && byte == 'x' ? 0 : 5;
  });
  EXPECT_EQ(run.exit_code(), 0);
}

TEST(SeccompKernelTest, ReadsLimitsButSetsNone) {
  const Ended run = RunPython([] {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || errno != EPERM) return 2;
    return ErrorOf(SYS_setrlimit, RLIMIT_NOFILE, &limit);
  });
  EXPECT_EQ(run.exit_code(), EPERM);
}

// Tries the ways to executable memory that this process could have written.
int TryExecutableMemory() {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  int ways = 0;
  if (mprotect(memory, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0) ways |= 2;
  if (mprotect(memory, 4096, PROT_READ | PROT_EXEC) == 0) ways |= 4;
  for (int protection : {PROT_EXEC, PROT_EXEC | PROT_WRITE}) {
    if (mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
      ways |= 8 << (protection & PROT_WRITE);
    }
  }
  return ways;
}

TEST(SeccompKernelTest, DeniesExecutableMemoryOnlyWhenAskedTo) {
  for (SeccompProfile profile : {SeccompProfile::kPython, SeccompProfile::kNative}) {
    EXPECT_EQ(RunUnder(profile, ExecMemory::kDenied, TryExecutableMemory).exit_code(), 0);
    EXPECT_EQ(RunUnder(profile, ExecMemory::kJit, TryExecutableMemory).exit_code(), 2 | 4 | 8 | 32);
  }
}

TEST(SeccompKernelTest, LibffiLivesWhereExecutableMemoryIsDenied) {
  const Ended run = RunUnder(SeccompProfile::kPython, ExecMemory::kDenied,
                             [] { return ErrorOf(SYS_memfd_create, "libffi", 0); });
  EXPECT_EQ(run.exit_code(), EACCES);
  EXPECT_THAT(run.notified, IsEmpty());
}

// getpid() through the entry of 32-bit programs, whose numbers mean other calls.
int CallI386() {
  long result = 20;
  asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  return result == getpid() ? 0 : 1;
}

TEST(SeccompKernelTest, KillsACallThroughThe32BitEntry) {
  const Ended run = RunPython(CallI386);
  // A kernel without 32-bit programs has no such entry, which is a fault.
  EXPECT_THAT(run.signal(), testing::AnyOf(SIGSYS, SIGSEGV));
}

TEST(SeccompKernelTest, KillsACallWithTheBitOfX32) {
  EXPECT_EQ(RunPython([] { return ErrorOf(0x40000000L | SYS_getpid); }).signal(), SIGSYS);
  EXPECT_EQ(RunPython([] { return ErrorOf(0x40000000L + 520); }).signal(), SIGSYS);
}

}  // namespace
}  // namespace ncn::sandbox
