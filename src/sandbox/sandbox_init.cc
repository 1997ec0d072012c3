#include "sandbox/sandbox_init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "sandbox/confinement.h"
#include "sandbox/landlock.h"
#include "sandbox/message_socket.h"
#include "sandbox/mount_tree.h"
#include "sandbox/setup_journal.h"
#include "sandbox/system_calls.h"

namespace ncn::sandbox {
namespace {

constexpr char kHostName[] = "sandbox";
constexpr int kControl = 3;  // Where the channel is in mini-init and payload.
constexpr std::size_t kPayloadStackBytes = 256 << 10;
constexpr int kSetupFailed = 125;

struct Payload {
  const LaunchRequest& request;
  const std::string& bpf;
  SetupJournal& journal;
  std::vector<char*> argv;
  std::vector<char*> environment;
  int landlock_abi = 0;
};

// Sends by write(2): the seccomp filter has no sendmsg.
void Send(const LaunchReport& report) {
  const std::string bytes = Encode(report);
  while (::write(kControl, bytes.data(), bytes.size()) < 0 && errno == EINTR) {
  }
}

[[noreturn]] void GiveUp(const SetupJournal& journal) {
  Send(journal.Failure());
  ::_exit(kSetupFailed);
}

// Puts the descriptors in their places: standard streams, then the channel, then nothing.
bool PlaceDescriptors(const InitDescriptors& given, SetupJournal& journal) {
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0) return journal.FailErrno("/dev/null");
  // First out of the way of the numbers they are to get.
  const int control = ::fcntl(given.control, F_DUPFD_CLOEXEC, 10);
  const int output = ::fcntl(given.output, F_DUPFD_CLOEXEC, 10);
  const int errors = ::fcntl(given.errors, F_DUPFD_CLOEXEC, 10);
  if (control < 0 || output < 0 || errors < 0 || ::dup2(nothing, 0) < 0 || ::dup2(output, 1) < 0 ||
      ::dup2(errors, 2) < 0 || ::dup3(control, kControl, O_CLOEXEC) < 0) {
    return journal.FailErrno("standard streams");
  }
  return CloseRange(kControl + 1, ~0U) == 0 || journal.FailErrno("close_range");
}

// A thread that moves itself needs no lock on its process: moved by another, it would wait for
// every processor to pass a quiescent state, milliseconds on a busy machine.
bool JoinControlGroups(const LaunchRequest& request, const std::vector<int>& cgroups,
                       SetupJournal& journal) {
  const bool own_view = (request.namespaces & CLONE_NEWCGROUP) != 0;
  if (cgroups.empty() && !own_view) return true;
  if (!journal.Begin(SetupStep::kCgroup)) return false;
  for (const int tasks : cgroups) {
    if (::write(tasks, "0", 1) != 1) return journal.FailErrno("joining a control group");
  }
  // Only now, so that the namespace's root is the control group that was joined.
  return !own_view || ::unshare(CLONE_NEWCGROUP) == 0 ||
         journal.FailErrno("unshare of the cgroup namespace");
}

bool EnterNamespaces(const LaunchRequest& request, const InitDescriptors& given, MountTree& tree,
                     SetupJournal& journal) {
  if (!JoinControlGroups(request, given.cgroups, journal)) return false;
  const bool own_mounts = (request.namespaces & CLONE_NEWNS) != 0;
  if (own_mounts && (!journal.Begin(SetupStep::kSources) || !tree.CloneSources())) return false;
  if (!journal.Begin(SetupStep::kIdentity)) return false;
  char byte = 0;
  if (::read(given.mapped, &byte, 1) != 1)
    ::_exit(kSetupFailed);  // The launcher tells why, or is gone.
  if (!TakeIdentity(request, journal)) return false;
  // Here the identity is final; a change of it would have undone this.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return journal.FailErrno("PDEATHSIG");
  if (!own_mounts) {
    return ::chdir(request.working_folder.c_str()) == 0 ||
           journal.FailErrno(request.working_folder);
  }
  return journal.Begin(SetupStep::kRoot) && tree.MountRoot() && journal.Begin(SetupStep::kBinds) &&
         tree.AttachSources() && journal.Begin(SetupStep::kDevices) && tree.MountDevices() &&
         journal.Begin(SetupStep::kWorkspace) && tree.MountWorkspace() &&
         journal.Begin(SetupStep::kProc) && tree.MountProc() && journal.Begin(SetupStep::kPivot) &&
         tree.Pivot();
}

bool FinishNamespaces(const LaunchRequest& request, SetupJournal& journal) {
  if ((request.namespaces & CLONE_NEWUTS) != 0) {
    if (!journal.Begin(SetupStep::kHostName)) return false;
    if (::sethostname(kHostName, sizeof(kHostName) - 1) != 0) return journal.FailErrno(kHostName);
  }
  return journal.Begin(SetupStep::kPrivileges) && ForbidNewPrivileges(journal) &&
         journal.Begin(SetupStep::kCapabilities) && DropCapabilities(journal);
}

LaunchReport Held(const Payload& payload, int listener) {
  LaunchReport held;
  held.kind = ReportKind::kHeld;
  held.listener = listener;
  held.landlock_abi = static_cast<std::uint8_t>(payload.landlock_abi);
  held.steps = payload.journal.steps();
  return held;
}

bool ConfinePayload(Payload& payload) {
  SetupJournal& journal = payload.journal;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (payload.request.landlock) {
    if (!journal.Begin(SetupStep::kLandlock)) return false;
    payload.landlock_abi = LandlockAbi();
    std::string_view failed;
    const int error =
        RestrictWithLandlock(payload.landlock_abi, payload.request.landlock_paths, failed);
    if (error != 0) return journal.Fail(error, failed);
  }
  if (!journal.Begin(SetupStep::kDescriptors)) return false;
  if (CloseRange(kControl + 1, ~0U) != 0) return journal.FailErrno("close_range");
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  return journal.Begin(SetupStep::kRlimits) && SetRlimits(payload.request, journal);
}

// The payload, until it becomes the command. Shares its memory with the mini-init, which stands
// still meanwhile.
int RunPayload(void* argument) {
  Payload& payload = *static_cast<Payload*>(argument);
  SetupJournal& journal = payload.journal;
  int listener = -1;
  if (!ConfinePayload(payload) || !journal.Begin(SetupStep::kSeccomp) ||
      !InstallSeccomp(payload.bpf, &listener, journal)) {
    GiveUp(journal);
  }
  journal.Done();
  Send(Held(payload, listener));

  char byte = 0;
  if (::read(kControl, &byte, 1) != 1 || byte != kGo) ::_exit(kSetupFailed);
  if (journal.Begin(SetupStep::kExecute)) {
    ::execve(payload.argv[0], payload.argv.data(), payload.environment.data());
    journal.FailErrno(payload.argv[0]);
  }
  GiveUp(journal);
}

// Makes the payload and returns when it has become the command, or died.
pid_t StartPayload(Payload& payload) {
  void* stack = ::mmap(nullptr, kPayloadStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -1;
  return ::clone(RunPayload, static_cast<char*>(stack) + kPayloadStackBytes,
                 CLONE_VM | CLONE_VFORK | SIGCHLD, &payload);
}

// The mini-init needs nothing any more but to wait; it takes the same layers as the payload so that
// it is no stepping stone.
void ConfineInit(const LaunchRequest& request, const std::string& bpf, SetupJournal& journal) {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  std::string_view failed;
  if (request.landlock && RestrictWithLandlock(LandlockAbi(), {}, failed) != 0)
    ::_exit(kSetupFailed);
  if (!InstallSeccomp(bpf, nullptr, journal)) ::_exit(kSetupFailed);
}

[[noreturn]] void ReapUntilPayloadEnds(pid_t payload) {
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended < 0 && errno == EINTR) continue;
    if (ended != payload && ended > 0) continue;
    LaunchReport report;
    report.kind = ReportKind::kEnded;
    report.wait_status = status;
    Send(report);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kSetupFailed);
  }
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

void RunSandboxInit(const LaunchRequest& request, const std::string& bpf,
                    const InitDescriptors& descriptors) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::setsid();  // No controlling terminal.
  // Without a pid namespace, orphans come to us at least.
  if ((request.namespaces & CLONE_NEWPID) == 0) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  ::umask(022);
  SetupJournal journal(request.fail_step);
  MountTree tree(request, journal);
  const bool entered = EnterNamespaces(request, descriptors, tree, journal);
  if (entered && tree.work_folder().valid()) {
    LaunchReport workspace;
    workspace.kind = ReportKind::kWorkspace;
    if (!SendMessage(descriptors.control, Encode(workspace), {tree.work_folder().get()}).ok()) {
      ::_exit(kSetupFailed);
    }
  }
  if (!entered) {
    ::dup2(descriptors.control, kControl);
    GiveUp(journal);
  }
  if (!PlaceDescriptors(descriptors, journal) || !FinishNamespaces(request, journal) ||
      !journal.Begin(SetupStep::kPayload)) {
    GiveUp(journal);
  }
  Payload payload{request, bpf, journal, Pointers(request.argv), Pointers(request.environment)};
  const pid_t child = StartPayload(payload);
  if (child < 0) {
    journal.FailErrno("clone");
    GiveUp(journal);
  }
  ConfineInit(request, bpf, journal);
  CloseRange(0, 2);
  ReapUntilPayloadEnds(child);
}

}  // namespace ncn::sandbox
