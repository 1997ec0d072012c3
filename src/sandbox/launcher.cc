#include "sandbox/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>

#include "base/strings.h"
#include "sandbox/launch_protocol.h"
#include "sandbox/message_socket.h"
#include "sandbox/sandbox_init.h"
#include "sandbox/setup_journal.h"
#include "sandbox/system_calls.h"

namespace ncn::sandbox {
namespace {

constexpr char kOutOfMemoryFirst[] = "1000";

// Clones like fork, into new namespaces. Returns as fork does; `pidfd` is the child's.
pid_t CloneInto(std::uint32_t namespaces, base::UniqueFd& pidfd) {
  int fd = -1;
  clone_args arguments{};
  // The cgroup namespace comes after the cgroup; see JoinControlGroups.
  arguments.flags = (namespaces & ~static_cast<std::uint32_t>(CLONE_NEWCGROUP)) | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uintptr_t>(&fd);
  arguments.exit_signal = SIGCHLD;
  // The C library keeps the thread's id where it has told the kernel to clear it.
  void* thread_id = nullptr;
  if (::prctl(PR_GET_TID_ADDRESS, &thread_id, 0, 0, 0) == 0 && thread_id != nullptr) {
    arguments.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    arguments.child_tid = reinterpret_cast<std::uintptr_t>(thread_id);
  }
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (pid > 0) pidfd.reset(fd);
  return static_cast<pid_t>(pid);
}

bool WriteProcFile(pid_t pid, const char* name, std::string_view text) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file.valid() &&
         ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool MapIdentity(const CloneRequest& request, pid_t pid, SetupJournal& journal) {
  // An ordinary user may map its group only when it gives up setgroups.
  if (::geteuid() != 0 && !WriteProcFile(pid, "setgroups", "deny")) {
    return journal.FailErrno("write of setgroups");
  }
  const std::string uid = base::StrCat(request.inside_uid, " ", request.host_uid, " 1");
  const std::string gid = base::StrCat(request.inside_gid, " ", request.host_gid, " 1");
  if (!WriteProcFile(pid, "uid_map", uid)) return journal.FailErrno("write of uid_map");
  if (!WriteProcFile(pid, "gid_map", gid)) return journal.FailErrno("write of gid_map");
  return true;
}

class Launcher {
 public:
  // A zygote's children do not become another program; they return from Serve.
  Launcher(int requests, int doorbell, bool zygote)
      : requests_(requests), doorbell_(doorbell), zygote_(zygote) {}

  enum class End { kConversation, kBroken, kInChild };

  End Serve() {
    base::UniqueFd ended = EndedChildren();
    if (!ended.valid()) return End::kBroken;
    while (!in_child_) {
      // Of the requests' socket, only its end: see LauncherClient::Clone.
      pollfd ready[] = {{requests_, 0, 0}, {ended.get(), POLLIN, 0}, {doorbell_, POLLIN, 0}};
      if (::poll(ready, 3, -1) < 0 && errno != EINTR) return End::kBroken;
      if ((ready[1].revents & POLLIN) != 0) {
        signalfd_siginfo information;
        while (::read(ended.get(), &information, sizeof(information)) > 0) {
        }
        Reap(WNOHANG);
        if (::getppid() != node_) break;
      }
      if (ready[0].revents != 0) break;
      if (ready[2].revents != 0 && !TakeRequest()) break;
    }
    if (in_child_) return End::kInChild;
    for (const auto& [pid, control] : running_) ::kill(pid, SIGKILL);
    while (!running_.empty() && Reap(0)) {
    }
    return End::kConversation;
  }

 private:
  // Becomes readable when a child ended, or the node, or the node's thread that started us: getppid
  // tells these apart.
  base::UniqueFd EndedChildren() {
    ::prctl(PR_SET_PDEATHSIG, SIGHUP, 0, 0, 0);
    sigset_t children;
    ::sigemptyset(&children);
    ::sigaddset(&children, SIGCHLD);
    ::sigaddset(&children, SIGHUP);
    ::sigprocmask(SIG_SETMASK, &children, nullptr);
    return base::UniqueFd(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  // False at the end of the conversation, or when it no longer makes sense.
  bool TakeRequest() {
    eventfd_t one = 0;
    if (::eventfd_read(doorbell_, &one) != 0) return false;
    absl::StatusOr<Message> message = ReceiveMessage(requests_, kMessageBytesMax, 1, -1);
    if (!message.ok()) return false;
    const absl::StatusOr<CloneRequest> request = DecodeCloneRequest(message->bytes);
    if (!request.ok() || message->fds.size() != 1) return false;
    SetupJournal journal(request->fail_step);
    base::UniqueFd control = std::move(message->fds[0]);
    if (!Clone(*request, control, journal)) {
      (void)SendMessage(control.get(), Encode(journal.Failure()), {});
    }
    return true;
  }

  // Takes `control` when it succeeds.
  bool Clone(const CloneRequest& request, base::UniqueFd& control, SetupJournal& journal) {
    if (request.namespaces != 0 && !journal.Begin(SetupStep::kNamespaces)) return false;
    int mapped[2];
    if (::pipe2(mapped, O_CLOEXEC) != 0) return journal.FailErrno("pipe2");
    const base::UniqueFd mapped_read(mapped[0]), mapped_write(mapped[1]);
    base::UniqueFd pidfd;
    const pid_t pid = CloneInto(request.namespaces, pidfd);
    if (pid < 0) return journal.FailErrno("clone3");
    if (pid == 0) {
      ::close(mapped[1]);
      if (!zygote_) RunSandboxInit(control.get(), mapped[0]);
      EnterSandbox(control.get(), mapped[0]);
      in_child_ = true;
      return true;
    }
    LaunchReport cloned;
    cloned.kind = ReportKind::kCloned;
    bool placed = SendMessage(control.get(), Encode(cloned), {pidfd.get()}).ok();
    if (placed && !Identify(request, pid, journal)) {
      (void)SendMessage(control.get(), Encode(journal.Failure()), {});
      placed = false;
    }
    if (!placed || ::write(mapped_write.get(), "m", 1) != 1) ::kill(pid, SIGKILL);
    running_.emplace(pid, std::move(control));
    return true;
  }

  // Gives the new mini-init its identity, before it may go on.
  bool Identify(const CloneRequest& request, pid_t pid, SetupJournal& journal) {
    WriteProcFile(pid, "oom_score_adj", kOutOfMemoryFirst);  // Best effort: it before the node.
    return (request.namespaces & CLONE_NEWUSER) == 0 ||
           (journal.Begin(SetupStep::kIdentity) && MapIdentity(request, pid, journal));
  }

  // Collects ended mini-inits and tells their channels. Whether any was there.
  bool Reap(int options) {
    bool any = false;
    for (;;) {
      int status = 0;
      rusage usage{};
      const pid_t pid = ::wait4(-1, &status, options, &usage);
      if (pid < 0 && errno == EINTR) continue;
      if (pid <= 0) return any;
      any = true;
      const auto found = running_.find(pid);
      if (found == running_.end()) continue;
      LaunchReport report;
      report.kind = ReportKind::kReaped;
      report.wait_status = status;
      const auto microseconds = [](const timeval& t) {
        return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 +
               static_cast<std::uint64_t>(t.tv_usec);
      };
      report.cpu_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
      report.rss_peak_kib = static_cast<std::uint64_t>(usage.ru_maxrss);
      (void)SendMessage(found->second.get(), Encode(report), {});
      running_.erase(found);
      if (options == 0) return true;
    }
  }

  const int requests_;
  const int doorbell_;
  const bool zygote_;
  bool in_child_ = false;
  const pid_t node_ = ::getppid();
  std::map<pid_t, base::UniqueFd> running_;  // Mini-init to its sandbox's channel.
};

void RemoveCgroups(const std::vector<std::string>& folders) {
  std::error_code ignored;
  for (const std::string& folder : folders) {
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      if (entry.is_directory(ignored)) ::rmdir(entry.path().c_str());
    }
    ::rmdir(folder.c_str());
  }
}

}  // namespace

int RunLauncher(int requests, int doorbell, const std::vector<std::string>& cgroup_folders) {
  // Whatever the node ignores or blocks is no legacy for sandboxes; its terminal is not ours.
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  ::setsid();
  const auto end = Launcher(requests, doorbell, false).Serve();
  RemoveCgroups(cgroup_folders);
  return end == Launcher::End::kConversation ? 0 : 1;
}

bool ServeAsZygote(int requests, int doorbell) {
  return Launcher(requests, doorbell, true).Serve() == Launcher::End::kInChild;
}

}  // namespace ncn::sandbox
