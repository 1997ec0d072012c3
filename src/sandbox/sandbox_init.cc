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
constexpr int kControl = 3;       // Where the channel is in mini-init and payload.
constexpr int kWorkFolderFd = 4;  // Of the mini-init alone, for the node to take.
constexpr std::size_t kPayloadStackBytes = 256 << 10;
constexpr int kSetupFailed = 125;
constexpr std::size_t kBpfBytesMax = 4096 * 8;  // BPF_MAXINSNS of eight bytes.

// What the mini-init was told to make.
struct Orders {
  LaunchRequest request;
  std::string bpf;  // The seccomp filter.
  base::UniqueFd output;
  base::UniqueFd errors;
  std::vector<base::UniqueFd> cgroups;  // Where to write "0" to join the control groups.
};

struct Payload {
  const LaunchRequest& request;
  const std::string& bpf;
  SetupJournal& journal;
  std::vector<char*> argv;
  std::vector<char*> environment;
  int work_folder = -1;
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

// Many sandboxes share the file, hence its offset: read by position. Empty when it makes no sense.
std::string ReadFilter(int fd) {
  struct stat seen {};
  if (::fstat(fd, &seen) != 0 || seen.st_size <= 0 || seen.st_size % 8 != 0 ||
      seen.st_size > static_cast<off_t>(kBpfBytesMax)) {
    return "";
  }
  std::string bpf(static_cast<std::size_t>(seen.st_size), '\0');
  return ::pread(fd, bpf.data(), bpf.size(), 0) == seen.st_size ? bpf : "";
}

// Ends the process when the node gave up, or says what makes no sense: there is no sandbox yet.
Orders AwaitOrders(int control) {
  absl::StatusOr<Message> message = ReceiveMessage(control, kMessageBytesMax, kFdsMax, -1);
  if (!message.ok()) ::_exit(kSetupFailed);
  absl::StatusOr<LaunchRequest> request = DecodeLaunchRequest(message->bytes);
  std::vector<base::UniqueFd>& fds = message->fds;
  if (!request.ok() || fds.size() != kFixedFds + request->cgroups) ::_exit(kSetupFailed);
  Orders orders{*std::move(request),
                ReadFilter(fds[kSeccompFd].get()),
                std::move(fds[kStdoutFd]),
                std::move(fds[kStderrFd]),
                {}};
  if (orders.bpf.empty()) ::_exit(kSetupFailed);
  for (std::size_t i = kFixedFds; i < fds.size(); ++i) orders.cgroups.push_back(std::move(fds[i]));
  return orders;
}

// Puts the descriptors in their places: standard streams, the channel, /work unless `work_folder`
// is -1, then nothing.
bool PlaceDescriptors(int control, int work_folder, const Orders& orders, SetupJournal& journal) {
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0) return journal.FailErrno("/dev/null");
  // First out of the way of the numbers they are to get.
  const int channel = ::fcntl(control, F_DUPFD_CLOEXEC, 10);
  const int output = ::fcntl(orders.output.get(), F_DUPFD_CLOEXEC, 10);
  const int errors = ::fcntl(orders.errors.get(), F_DUPFD_CLOEXEC, 10);
  if (channel < 0 || output < 0 || errors < 0 || ::dup2(nothing, 0) < 0 || ::dup2(output, 1) < 0 ||
      ::dup2(errors, 2) < 0 || ::dup3(channel, kControl, O_CLOEXEC) < 0) {
    return journal.FailErrno("standard streams");
  }
  if (work_folder >= 0) {
    const int folder = ::fcntl(work_folder, F_DUPFD_CLOEXEC, 10);
    if (folder < 0 || ::dup3(folder, kWorkFolderFd, O_CLOEXEC) < 0) {
      return journal.FailErrno("descriptor of /work");
    }
  }
  const int last = work_folder < 0 ? kControl : kWorkFolderFd;
  return CloseRange(last + 1, ~0U) == 0 || journal.FailErrno("close_range");
}

// A thread that moves itself needs no lock on its process: moved by another, it would wait for
// every processor to pass a quiescent state, milliseconds on a busy machine.
bool JoinControlGroups(const Orders& orders, SetupJournal& journal) {
  const bool own_view = (orders.request.namespaces & CLONE_NEWCGROUP) != 0;
  if (orders.cgroups.empty() && !own_view) return true;
  if (!journal.Begin(SetupStep::kCgroup)) return false;
  for (const base::UniqueFd& tasks : orders.cgroups) {
    if (::write(tasks.get(), "0", 1) != 1) return journal.FailErrno("joining a control group");
  }
  // Only now, so that the namespace's root is the control group that was joined.
  return !own_view || ::unshare(CLONE_NEWCGROUP) == 0 ||
         journal.FailErrno("unshare of the cgroup namespace");
}

bool EnterNamespaces(const Orders& orders, int mapped, MountTree& tree, SetupJournal& journal) {
  const LaunchRequest& request = orders.request;
  if (!JoinControlGroups(orders, journal)) return false;
  const bool own_mounts = (request.namespaces & CLONE_NEWNS) != 0;
  if (own_mounts && (!journal.Begin(SetupStep::kSources) || !tree.CloneSources())) return false;
  if (!journal.Begin(SetupStep::kIdentity)) return false;
  char byte = 0;
  if (::read(mapped, &byte, 1) != 1) ::_exit(kSetupFailed);  // The launcher tells why, or is gone.
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
  held.work_folder = payload.work_folder;
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

// The mini-init needs nothing any more but to wait; it takes tighter layers than the payload so
// that it is no stepping stone.
void ConfineInit(const LaunchRequest& request) {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  CloseRange(0, 2);
  ::close(kWorkFolderFd);
  std::string_view failed;
  if (request.landlock && RestrictWithLandlock(LandlockAbi(), {}, failed) != 0)
    ::_exit(kSetupFailed);
  if (!AllowOnlyReaping()) ::_exit(kSetupFailed);
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

void RunSandboxInit(int control, int mapped) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::setsid();  // No controlling terminal.
  const Orders orders = AwaitOrders(control);
  const LaunchRequest& request = orders.request;
  // Without a pid namespace, orphans come to us at least.
  if ((request.namespaces & CLONE_NEWPID) == 0) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  ::umask(022);
  SetupJournal journal(request.fail_step);
  MountTree tree(request, journal);
  const bool entered = EnterNamespaces(orders, mapped, tree, journal);
  if (!entered) {
    ::dup2(control, kControl);
    GiveUp(journal);
  }
  const int work_folder = tree.work_folder().get();
  if (!PlaceDescriptors(control, work_folder, orders, journal) ||
      !FinishNamespaces(request, journal) || !journal.Begin(SetupStep::kPayload)) {
    GiveUp(journal);
  }
  Payload payload{request,
                  orders.bpf,
                  journal,
                  Pointers(request.argv),
                  Pointers(request.environment),
                  work_folder < 0 ? -1 : kWorkFolderFd};
  const pid_t child = StartPayload(payload);
  if (child < 0) {
    journal.FailErrno("clone");
    GiveUp(journal);
  }
  ConfineInit(request);
  ReapUntilPayloadEnds(child);
}

}  // namespace ncn::sandbox
