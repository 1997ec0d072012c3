#include "apps/ncn/child_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/errno_status.h"
#include "base/strings.h"

namespace ncn::apps {
namespace {

constexpr std::size_t kLineBytesMax = 64 * 1024;

[[noreturn]] void ExecChild(const std::vector<std::string>& argv, const char* withheld, int output,
                            pid_t parent) {
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  if (withheld != nullptr) ::unsetenv(withheld);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // A process group of its own: Ctrl-C reaches us alone, and we stop the children in order.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::execv(pointers[0], pointers.data());
  ::dprintf(STDERR_FILENO, "cannot start %s: errno %d\n", pointers[0], errno);
  ::_exit(127);
}

}  // namespace

absl::StatusOr<ChildProgram> ChildProgram::Start(std::string label, std::vector<std::string> argv,
                                                 const char* withheld) {
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) return base::ErrnoStatus(errno, "pipe");
  base::UniqueFd read_end(pipe_fds[0]);
  base::UniqueFd write_end(pipe_fds[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return base::ErrnoStatus(errno, "fork");
  if (pid == 0) ExecChild(argv, withheld, write_end.get(), parent);
  base::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    ::kill(pid, SIGKILL);
    return base::ErrnoStatus(errno, "pidfd_open");
  }
  return ChildProgram(std::move(label), pid, std::move(pidfd), std::move(read_end));
}

ChildProgram::ChildProgram(std::string label, pid_t pid, base::UniqueFd pidfd,
                           base::UniqueFd output)
    : label_(std::move(label)), pid_(pid), pidfd_(std::move(pidfd)), output_(std::move(output)) {}

ChildProgram::~ChildProgram() {
  if (pidfd_.valid()) Stop(0);
}

bool ChildProgram::Forward(const std::function<void(std::string_view)>& on_line) {
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(output_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    partial_line_.append(buffer, static_cast<std::size_t>(got));
    std::size_t end;
    while ((end = partial_line_.find('\n')) != std::string::npos ||
           partial_line_.size() > kLineBytesMax || (got == 0 && !partial_line_.empty())) {
      const std::string line = partial_line_.substr(0, end);
      partial_line_.erase(0, end == std::string::npos ? end : end + 1);
      std::printf("%s | %s\n", label_.c_str(), line.c_str());
      if (on_line) on_line(line);
    }
    std::fflush(stdout);
    if (got == 0) return false;
  }
}

int ChildProgram::Stop(int patience_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  ::kill(pid_, SIGTERM);
  pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    // The pipe is emptied meanwhile, for a child that waits to write cannot end.
    const int ready = ::poll(&ended, 1, static_cast<int>(std::min<long>(left.count(), 50)));
    Forward({});
    if (ready > 0) break;
  }
  if (::poll(&ended, 1, 0) == 0) ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  Forward({});
  pidfd_.reset();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace ncn::apps
