#include "sandbox/namespace_sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/message_socket.h"
#include "sandbox/namespace_zygote.h"
#include "sandbox/system_calls.h"
#include "sandbox/workspace.h"

namespace ncn::sandbox {
namespace {

constexpr int kSetupTimeoutMs = 30'000;

struct Pipe {
  base::UniqueFd read;
  base::UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoStatus(errno, "pipe2");
  Pipe pipe{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
  if (::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return base::ErrnoStatus(errno, "fcntl");
  return pipe;
}

std::vector<std::string> NamespaceLayers(std::uint32_t namespaces) {
  std::vector<std::string> layers;
  const auto add = [&](std::uint32_t flag, const char* name) {
    if ((namespaces & flag) != 0) layers.push_back(std::string(name) + "-namespace");
  };
  add(CLONE_NEWUSER, "user");
  add(CLONE_NEWPID, "pid");
  add(CLONE_NEWNS, "mount");
  add(CLONE_NEWNET, "network");
  add(CLONE_NEWIPC, "ipc");
  add(CLONE_NEWUTS, "uts");
  add(CLONE_NEWCGROUP, "cgroup");
  return layers;
}

// The process of a pidfd in the caller's pid namespace; -1 when it cannot be told.
pid_t PidOf(int pidfd) {
  const auto info = base::ReadFile(base::StrCat("/proc/self/fdinfo/", pidfd), 4096);
  const std::size_t at = info.ok() ? info->find("Pid:\t") : std::string::npos;
  pid_t pid = -1;
  if (at != std::string::npos) {
    std::from_chars(info->data() + at + 5, info->data() + info->size(), pid);
  }
  return pid;
}

// A folder of the host in place of /work, for a machine without mount namespaces.
absl::StatusOr<std::string> MakeHostWorkFolder() {
  std::string path = "/tmp/ncn-work-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return base::ErrnoStatus(errno, "mkdtemp in /tmp");
  const SandboxIdentity who = IdentityForCaller();
  if (::chown(path.c_str(), who.host_uid, who.host_gid) != 0) {
    return base::ErrnoStatus(errno, "chown of " + path);
  }
  return path;
}

}  // namespace

NamespaceSandbox::NamespaceSandbox(SandboxMode mode, std::shared_ptr<CgroupTree> cgroups,
                                   std::string no_cgroups, std::unique_ptr<LauncherClient> launcher)
    : mode_(mode),
      cgroups_(std::move(cgroups)),
      no_cgroups_(std::move(no_cgroups)),
      launcher_(std::move(launcher)) {}

absl::StatusOr<std::unique_ptr<NamespaceSandbox>> NamespaceSandbox::Create(
    SandboxMode mode, const std::string& launcher_path) {
  std::string no_cgroups;
  std::shared_ptr<CgroupTree> cgroups;
  absl::StatusOr<std::unique_ptr<CgroupTree>> tree = CgroupTree::Create();
  if (tree.ok()) {
    cgroups = *std::move(tree);
  } else {
    no_cgroups = base::ToStd(tree.status().message());
    base::Log("sandbox").info("no control groups, memory is watched instead ({})", no_cgroups);
  }
  ASSIGN_OR_RETURN(
      auto launcher,
      LauncherClient::Start(launcher_path,
                            cgroups != nullptr ? cgroups->Folders() : std::vector<std::string>()));
  if (mode == SandboxMode::kPermissive) {
    base::Log("sandbox").warn(
        "SANDBOX_MODE=permissive: namespaces and Landlock are used as far as this machine has "
        "them; "
        "for tests only");
  }
  return std::unique_ptr<NamespaceSandbox>(
      new NamespaceSandbox(mode, std::move(cgroups), std::move(no_cgroups), std::move(launcher)));
}

void NamespaceSandbox::FailStepForTest(std::optional<SetupStep> step) {
  fail_step_ = step.has_value() ? static_cast<std::uint8_t>(*step) : 0;
}

absl::StatusOr<int> NamespaceSandbox::FilterFile(const SeccompProgram& program) {
  return filters_.With([&](auto& filters) -> absl::StatusOr<int> {
    base::UniqueFd& file = filters[program.policy_hash];
    if (!file.valid()) {
      ASSIGN_OR_RETURN(file, base::SealedMemory("seccomp-filter", program.bpf));
    }
    return file.get();
  });
}

absl::Status NamespaceSandbox::Prepare(const SandboxPolicy& policy, const SandboxCommand& command,
                                       const Concessions& concessions, SandboxHandles& handles) {
  if (concessions.own_tree) {
    ASSIGN_OR_RETURN(handles.request, PlanLaunch(policy, command));
    handles.request.namespaces = concessions.namespaces;
    if (!view_.empty()) RETURN_IF_ERROR(SeeFromZygote(view_, handles.request));
  } else {
    handles.host_binds = policy.binds();
    ASSIGN_OR_RETURN(handles.host_work_folder, MakeHostWorkFolder());
    ASSIGN_OR_RETURN(handles.request,
                     PlanLaunchOnHostTree(policy, command, handles.host_work_folder));
    handles.work_folder.reset(
        ::open(handles.host_work_folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  handles.request.landlock = concessions.landlock && !handles.request.makes_sandboxes;
  handles.request.fail_step = fail_step_;
  handles.limits = LimitsOfRun(policy.limits(), command);
  handles.missing = concessions.missing;
  if (cgroups_ != nullptr) {
    ASSIGN_OR_RETURN(handles.cgroup, cgroups_->Make(policy.limits()));
    handles.request.cgroups = static_cast<std::uint8_t>(handles.cgroup->members().size());
  }
  ASSIGN_OR_RETURN(const int filter, FilterFile(policy.seccomp()));
  ASSIGN_OR_RETURN(Pipe output, MakePipe());
  ASSIGN_OR_RETURN(Pipe errors, MakePipe());
  handles.stdout_pipe = std::move(output.read);
  handles.stderr_pipe = std::move(errors.read);
  std::vector<int> fds = {output.write.get(), errors.write.get(), filter};
  handles.request.watched = !command.watch_filter.empty();
  if (handles.request.watched) {
    ASSIGN_OR_RETURN(const int watch, FilterFile({command.watch_filter, "watch"}));
    fds.push_back(watch);
  }
  handles.request.has_stdin = command.stdin_fd >= 0;
  if (handles.request.has_stdin) fds.push_back(command.stdin_fd);
  if (handles.cgroup != nullptr) {
    for (const base::UniqueFd& list : handles.cgroup->members()) fds.push_back(list.get());
  }
  handles.request.inherited = static_cast<std::uint8_t>(command.inherited.size());
  fds.insert(fds.end(), command.inherited.begin(), command.inherited.end());
  return SendOrders(fds, handles);
}

absl::StatusOr<base::UniqueFd> NamespaceSandbox::CloneInit(std::uint32_t namespaces) {
  ASSIGN_OR_RETURN(auto channel, MessageSocketPair());
  // The kernel then stamps the payload's message with its pid, which cannot be made up.
  const int on = 1;
  if (::setsockopt(channel.first.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
    return base::ErrnoStatus(errno, "SO_PASSCRED");
  }
  CloneRequest clone = PlanClone(namespaces);
  if (!view_.empty()) clone.host_uid = clone.host_gid = kInsideUid;  // What the zygote is itself.
  clone.fail_step = fail_step_;
  RETURN_IF_ERROR(launcher_->Clone(clone, channel.second.get()));
  return std::move(channel.first);
}

absl::Status NamespaceSandbox::SendOrders(const std::vector<int>& fds, SandboxHandles& handles) {
  ASSIGN_OR_RETURN(const std::string bytes, Encode(handles.request));
  if (handles.request.namespaces == kAllNamespaces && fail_step_ == 0) {
    handles.channel = ahead_.With([](base::UniqueFd& ahead) { return std::move(ahead); });
  }
  handles.cloned_ahead = handles.channel.valid();
  if (!handles.cloned_ahead) {
    ASSIGN_OR_RETURN(handles.channel, CloneInit(handles.request.namespaces));
  }
  // When nobody is there to take it, the channel tells why.
  (void)SendMessage(handles.channel.get(), bytes, fds);
  return absl::OkStatus();
}

void NamespaceSandbox::CloneAhead() {
  if (fail_step_ != 0 || !view_.empty()) return;  // A fork of a zygote is no small thing to keep.
  ahead_.With([this](base::UniqueFd& ahead) {
    if (ahead.valid()) return;
    absl::StatusOr<base::UniqueFd> channel = CloneInit(kAllNamespaces);
    if (channel.ok()) ahead = *std::move(channel);
  });
}

// Follows the set-up until the payload waits, or something failed.
absl::Status NamespaceSandbox::AwaitHeld(SandboxHandles& handles,
                                         std::optional<LaunchReport>& failure) {
  for (;;) {
    ASSIGN_OR_RETURN(Message message,
                     ReceiveMessage(handles.channel.get(), kMessageBytesMax, 1, kSetupTimeoutMs));
    ASSIGN_OR_RETURN(LaunchReport report, DecodeLaunchReport(message.bytes));
    switch (report.kind) {
      case ReportKind::kCloned:
        if (message.fds.size() != 1) return absl::InternalError("a report lacks its descriptor");
        handles.init_pidfd = std::move(message.fds[0]);
        handles.init_pid = PidOf(handles.init_pidfd.get());
        break;
      case ReportKind::kFailed:
        failure = report;
        return LayerStatus(report);
      case ReportKind::kHeld: {
        handles.payload_pid = message.sender_pid;
        handles.steps = report.steps;
        if (report.landlock_abi > 0) {
          handles.layers.push_back(
              base::StrCat("landlock-abi-", static_cast<int>(report.landlock_abi)));
        }
        if (!handles.request.makes_sandboxes) {
          const base::UniqueFd payload(PidfdOpen(handles.payload_pid));
          handles.seccomp_listener.reset(PidfdGetfd(payload.get(), report.listener));
          if (!handles.seccomp_listener.valid()) {
            return base::ErrnoStatus(errno, "sandbox layer \"seccomp\": the filter's listener");
          }
        }
        if (report.work_folder >= 0) {
          handles.work_folder.reset(PidfdGetfd(handles.init_pidfd.get(), report.work_folder));
          if (!handles.work_folder.valid()) return base::ErrnoStatus(errno, "the sandbox's /work");
        }
        return absl::OkStatus();
      }
      case ReportKind::kReaped:
        handles.init_pid = -1;
        [[fallthrough]];
      case ReportKind::kEnded:
        return absl::InternalError("the sandbox ended while it was set up, without saying why");
    }
  }
}

NamespaceSandbox::Attempt NamespaceSandbox::Try(const SandboxPolicy& policy,
                                                const SandboxCommand& command,
                                                const Concessions& concessions) {
  Attempt attempt;
  SandboxHandles handles;
  attempt.status = Prepare(policy, command, concessions, handles);
  if (attempt.status.ok()) attempt.status = AwaitHeld(handles, attempt.failure);
  attempt.died_waiting = handles.cloned_ahead && handles.init_pid <= 0;
  if (attempt.status.ok()) {
    attempt.status = PlaceFiles(handles.work_folder.get(), command.files,
                                {handles.request.host_uid, handles.request.host_gid});
  }
  std::vector<std::string> layers = NamespaceLayers(handles.request.namespaces);
  for (const char* layer : {"no-new-privileges", "no-capabilities", "rlimits", "seccomp"}) {
    layers.push_back(layer);
  }
  if (cgroups_ != nullptr) {
    for (std::string& layer : cgroups_->Layers()) layers.push_back(std::move(layer));
  } else {
    layers.push_back("memory-watchdog");
  }
  layers.insert(layers.end(), handles.layers.begin(), handles.layers.end());
  handles.layers = std::move(layers);
  handles.command.argv = command.argv;
  handles.command.collect = command.collect;
  handles.command.stream_tail_bytes = command.stream_tail_bytes;
  handles.command.stream_bytes_max = command.stream_bytes_max;
  const bool begun = handles.init_pid > 0;
  auto process =
      begun || attempt.status.ok() ? std::make_unique<HeldProcess>(std::move(handles)) : nullptr;
  // What was begun and failed ends here, before the next attempt.
  if (attempt.status.ok()) attempt.process = std::move(process);
  return attempt;
}

bool NamespaceSandbox::Concede(const LaunchReport& failure, Concessions& concessions) {
  const std::string why =
      base::StrCat(Name(failure.step), ": ", failure.detail, ": ", base::ErrnoName(failure.error));
  const auto give_up = [&](std::uint32_t flag, const char* layer) {
    if ((concessions.namespaces & flag) == 0) return false;
    concessions.namespaces &= ~flag;
    concessions.missing.push_back(base::StrCat(layer, " (", why, ")"));
    return true;
  };
  switch (failure.step) {
    case SetupStep::kLandlock:
      if (!std::exchange(concessions.landlock, false)) return false;
      concessions.missing.push_back(base::StrCat("landlock (", why, ")"));
      return true;
    case SetupStep::kHostName:
      if (give_up(CLONE_NEWUTS, "uts-namespace")) return true;
      break;
    case SetupStep::kCgroup:
      return give_up(CLONE_NEWCGROUP, "cgroup-namespace");
    case SetupStep::kNamespaces:
      if (give_up(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
                  "network-, ipc-, uts- and cgroup-namespace")) {
        return true;
      }
      break;
    case SetupStep::kIdentity:
    case SetupStep::kSources:
    case SetupStep::kRoot:
    case SetupStep::kBinds:
    case SetupStep::kDevices:
    case SetupStep::kWorkspace:
    case SetupStep::kProc:
    case SetupStep::kPivot:
      break;
    default:
      return false;
  }
  if (!std::exchange(concessions.own_tree, false)) return false;
  concessions.namespaces = 0;
  concessions.missing.push_back(base::StrCat("all namespaces (", why, ")"));
  return true;
}

absl::StatusOr<std::unique_ptr<Zygote>> NamespaceSandbox::StartZygote(const SandboxPolicy& policy,
                                                                      SandboxCommand command) {
  return NamespaceZygote::Start(*this, policy, std::move(command));
}

std::unique_ptr<NamespaceSandbox> NamespaceSandbox::OnZygote(
    std::unique_ptr<LauncherClient> launcher, std::vector<PathMapping> view) const {
  std::unique_ptr<NamespaceSandbox> children(
      new NamespaceSandbox(mode_, cgroups_, no_cgroups_, std::move(launcher)));
  children->view_ = std::move(view);
  return children;
}

absl::StatusOr<std::unique_ptr<SandboxedProcess>> NamespaceSandbox::Start(
    const SandboxPolicy& policy, SandboxCommand command) {
  RETURN_IF_ERROR(CheckCommand(command));
  Concessions concessions;
  for (;;) {
    Attempt attempt = Try(policy, command, concessions);
    if (attempt.status.ok()) {
      if (concessions.namespaces == kAllNamespaces) CloneAhead();
      return std::unique_ptr<SandboxedProcess>(std::move(attempt.process));
    }
    if (attempt.died_waiting) continue;  // There is no second one; the next is new.
    if (mode_ == SandboxMode::kStrict || !attempt.failure.has_value() ||
        !Concede(*attempt.failure, concessions)) {
      return attempt.status;
    }
    base::Log("sandbox").warn("permissive: going on without {}", concessions.missing.back());
  }
}

}  // namespace ncn::sandbox
