#include "rewind/self_check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "rewind/process_memory.h"
#include "rewind/rewinder.h"
#include "rewind/watched_calls.h"

namespace ncn::rewind {
namespace {

constexpr int kPatienceMs = 5000;

// What the forked process does: tells how often it was asked. Nothing in it takes a lock that
// another thread of its parent may have held.
[[noreturn]] void Count(int socket, const sock_fprog& filter) {
  unsigned char count = 0;
  char question = 0;
  ::dup2(socket, kConversation);
  ::close_range(kHeldAt, ~0U, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
    ::_exit(1);
  }
  while (::write(kConversation, &count, 1) == 1 && ::read(kConversation, &question, 1) == 1) {
    ++count;
  }
  ::_exit(0);
}

absl::StatusOr<int> Hear(int socket) {
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  unsigned char count = 0;
  if (::poll(&ready, 1, kPatienceMs) != 1 || ::read(socket, &count, 1) != 1) {
    return absl::UnavailableError("a process that is watched does not answer");
  }
  return count;
}

absl::StatusOr<int> Ask(int socket) {
  if (::write(socket, "?", 1) != 1) return base::ErrnoStatus(errno, "asking a process");
  return Hear(socket);
}

absl::StatusOr<RewindReport> RewindOnce(pid_t pid, int socket) {
  RETURN_IF_ERROR(Hear(socket).status());
  ASSIGN_OR_RETURN(const auto rewinder, Rewinder::Attach(pid));
  RETURN_IF_ERROR(rewinder->TakeSnapshot(socket));
  RETURN_IF_ERROR(Ask(socket).status());
  ASSIGN_OR_RETURN(const RewindReport report, rewinder->Rewind());
  ASSIGN_OR_RETURN(const int count, Ask(socket));
  if (count != 1) return absl::InternalError("a process that was rewound remembers");
  return report;
}

}  // namespace

absl::StatusOr<RewindReport> CheckKernel() {
  static_cast<void>(KernelCountsExactly());  // Here, at the start, rather than behind a request.
  ASSIGN_OR_RETURN(const std::string filter, CompileWatchFilter());
  const sock_fprog program{static_cast<unsigned short>(filter.size() / sizeof(sock_filter)),
                           reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data()))};
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return base::ErrnoStatus(errno, "socketpair");
  }
  const base::UniqueFd ours(ends[0]);
  base::UniqueFd theirs(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return base::ErrnoStatus(errno, "fork");
  if (pid == 0) Count(theirs.get(), program);
  theirs.reset();
  auto report = RewindOnce(pid, ours.get());
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return report;
}

}  // namespace ncn::rewind
