#include "sandbox/sandbox_setup.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "sandbox/confinement.h"
#include "sandbox/landlock.h"
#include "sandbox/message_socket.h"
#include "sandbox/mount_tree.h"
#include "sandbox/system_calls.h"

namespace ncn::sandbox {
namespace {

constexpr char kHostName[] = "sandbox";
constexpr std::size_t kBpfBytesMax = 4096 * 8;  // BPF_MAXINSNS of eight bytes.

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

// A duplicate out of the way of the numbers that are given out.
int Aside(int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, kInheritedFd + kInheritedMax); }

// Puts the descriptors in their places: standard streams, the channel, /work unless `work_folder`
// is -1, what is inherited, then nothing.
bool PlaceDescriptors(int control, int work_folder, const Orders& orders, SetupJournal& journal) {
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0) return journal.FailErrno("/dev/null");
  struct Place {
    int from;
    int to;
    int flags;
  };
  std::vector<Place> places = {{orders.input.valid() ? orders.input.get() : nothing, 0, 0},
                               {orders.output.get(), 1, 0},
                               {orders.errors.get(), 2, 0},
                               {control, kControlInside, O_CLOEXEC}};
  if (work_folder >= 0) places.push_back({work_folder, kWorkFolderInside, O_CLOEXEC});
  for (int to = kInheritedFd; const base::UniqueFd& fd : orders.inherited) {
    places.push_back({fd.get(), to++, 0});
  }
  for (Place& place : places) place.from = Aside(place.from);
  for (const Place& place : places) {
    if (place.from < 0 || ::dup3(place.from, place.to, place.flags) < 0) {
      return journal.FailErrno("descriptors");
    }
  }
  if (work_folder < 0) ::close(kWorkFolderInside);
  return CloseRange(kInheritedFd + orders.request.inherited, ~0U) == 0 ||
         journal.FailErrno("close_range");
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

}  // namespace

Orders AwaitOrders(int control) {
  absl::StatusOr<Message> message = ReceiveMessage(control, kMessageBytesMax, kFdsMax, -1);
  if (!message.ok()) ::_exit(kSetupFailed);
  absl::StatusOr<LaunchRequest> request = DecodeLaunchRequest(message->bytes);
  std::vector<base::UniqueFd>& fds = message->fds;
  if (!request.ok() || fds.size() != kFixedFds + (request->watched ? 1 : 0) +
                                         (request->has_stdin ? 1 : 0) + request->cgroups +
                                         request->inherited) {
    ::_exit(kSetupFailed);
  }
  Orders orders;
  orders.bpf = ReadFilter(fds[kSeccompFd].get());
  if (orders.bpf.empty()) ::_exit(kSetupFailed);
  orders.output = std::move(fds[kStdoutFd]);
  orders.errors = std::move(fds[kStderrFd]);
  auto next = fds.begin() + kFixedFds;
  if (request->watched) {
    orders.watch = ReadFilter((next++)->get());
    if (orders.watch.empty()) ::_exit(kSetupFailed);
  }
  if (request->has_stdin) orders.input = std::move(*next++);
  for (int i = 0; i < request->cgroups; ++i) orders.cgroups.push_back(std::move(*next++));
  for (int i = 0; i < request->inherited; ++i) orders.inherited.push_back(std::move(*next++));
  orders.request = *std::move(request);
  return orders;
}

void Send(const LaunchReport& report) {
  const std::string bytes = Encode(report);
  while (::write(kControlInside, bytes.data(), bytes.size()) < 0 && errno == EINTR) {
  }
}

void GiveUp(const SetupJournal& journal) {
  Send(journal.Failure());
  ::_exit(kSetupFailed);
}

int SetUp(int control, int mapped, const Orders& orders, SetupJournal& journal) {
  ::umask(022);
  MountTree tree(orders.request, journal);
  if (!EnterNamespaces(orders, mapped, tree, journal)) {
    ::dup2(control, kControlInside);
    GiveUp(journal);
  }
  const int work_folder = tree.work_folder().get();
  if (!PlaceDescriptors(control, work_folder, orders, journal) ||
      !FinishNamespaces(orders.request, journal)) {
    GiveUp(journal);
  }
  return work_folder < 0 ? -1 : kWorkFolderInside;
}

int PutOnLastLayers(const Orders& orders, int work_folder, SetupJournal& journal) {
  const LaunchRequest& request = orders.request;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  int abi = 0, listener = -1;
  if (request.landlock) {
    if (!journal.Begin(SetupStep::kLandlock)) GiveUp(journal);
    abi = LandlockAbi();
    std::string_view failed;
    const int error = RestrictWithLandlock(abi, request.landlock_paths, failed);
    if (error != 0) {
      journal.Fail(error, failed);
      GiveUp(journal);
    }
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!journal.Begin(SetupStep::kRlimits) || !SetRlimits(request, journal) ||
      !journal.Begin(SetupStep::kSeccomp) ||
      (request.watched && !InstallSeccomp(orders.watch, nullptr, journal)) ||
      !InstallSeccomp(orders.bpf, request.makes_sandboxes ? nullptr : &listener, journal)) {
    GiveUp(journal);
  }
  journal.Done();
  LaunchReport held;
  held.kind = ReportKind::kHeld;
  held.listener = listener;
  held.work_folder = work_folder;
  held.landlock_abi = static_cast<std::uint8_t>(abi);
  held.steps = journal.steps();
  Send(held);
  return listener;
}

void AwaitGo() {
  char byte = 0;
  if (::read(kControlInside, &byte, 1) != 1 || byte != kGo) ::_exit(kSetupFailed);
}

}  // namespace ncn::sandbox
