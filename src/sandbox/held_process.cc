#include "sandbox/held_process.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "base/errno_status.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/launch_plan.h"
#include "sandbox/memory_watchdog.h"
#include "sandbox/message_socket.h"
#include "sandbox/outside_view.h"
#include "sandbox/system_calls.h"
#include "sandbox/workspace.h"

namespace ncn::sandbox {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kWatchdogInterval{20};
// A killed sandbox is gone in milliseconds; a kernel that holds it longer is in trouble.
constexpr int kReapTimeoutMs = 30'000;

}  // namespace

// What was learnt of the end.
struct HeldProcess::Ending {
  std::optional<int> payload_status;  // Of wait(2).
  std::optional<LaunchReport> failure;
  LaunchReport reaped;
};

absl::Status LayerStatus(const LaunchReport& failure) {
  const std::string message =
      base::StrCat("sandbox layer \"", Layer(failure.step),
                   "\" could not be set up: ", Name(failure.step), ": ", failure.detail, ": ",
                   base::ErrnoName(failure.error), ". ", Cure(failure.step, failure.error));
  return absl::FailedPreconditionError(message);
}

HeldProcess::HeldProcess(SandboxHandles handles)
    : handles_(std::move(handles)),
      stdout_(std::move(handles_.stdout_pipe), handles_.command.stream_tail_bytes),
      stderr_(std::move(handles_.stderr_pipe), handles_.command.stream_tail_bytes),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

HeldProcess::~HeldProcess() {
  if (!reaped_) {
    End(OutcomeKind::kKilled);
    Ending ending;
    if (!AwaitReaping(ending).ok() && !reaped_) {
      base::Log("sandbox").error("a killed sandbox (pid {}) does not end", handles_.init_pid);
    }
  }
  if (orphaned_ && handles_.init_pidfd.valid()) {
    // It dies with its maker, but not at once, and keeps its control group from being removed.
    End(OutcomeKind::kKilled);
    pollfd ended{handles_.init_pidfd.get(), POLLIN, 0};
    while (::poll(&ended, 1, kReapTimeoutMs) < 0 && errno == EINTR) continue;
  }
  if (!handles_.host_work_folder.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(handles_.host_work_folder, ignored);
  }
}

absl::Status HeldProcess::Verify() {
  const absl::Status status =
      VerifyFromOutside(handles_.payload_pid, handles_.request, handles_.cgroup.get());
  verified_ = status.ok();
  if (!verified_) End(OutcomeKind::kKilled);
  return status;
}

absl::StatusOr<base::UniqueFd> HeldProcess::OpenInside(const std::string& inside_path) const {
  if (!handles_.host_binds.empty()) return OpenHostPath(handles_.host_binds, inside_path);
  const std::string root = base::StrCat("/proc/", handles_.payload_pid, "/root");
  const base::UniqueFd tree(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!tree.valid()) return base::ErrnoStatus(errno, root);
  base::UniqueFd fd(Openat2(tree.get(), inside_path.c_str(), O_PATH | O_NOFOLLOW,
                            RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
  if (!fd.valid()) return base::ErrnoStatus(errno, root + inside_path);
  return fd;
}

absl::Status HeldProcess::Release() {
  if (!verified_ || released_) {
    return absl::FailedPreconditionError("a sandbox is released once, after it was verified");
  }
  released_ = true;
  released_at_ = steady_clock::now();
  return SendMessage(handles_.channel.get(), std::string_view(&kGo, 1), {});
}

void HeldProcess::Kill() {
  kill_requested_ = true;
  // Who ends takes locks that others wait for.
  if (background_.exchange(false)) SetBackground(false);
  PidfdSendSignal(handles_.init_pidfd.get(), SIGKILL);
}

void HeldProcess::End(OutcomeKind why) {
  if (!reason_.has_value()) reason_ = why;
  PidfdSendSignal(handles_.init_pidfd.get(), SIGKILL);
}

// Records the first forbidden system call; its caller stays stopped in it until killed.
void HeldProcess::TakeViolation() {
  seccomp_notif notification{};
  if (::ioctl(handles_.seccomp_listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) {
    if (errno != EINTR && errno != ENOENT) handles_.seccomp_listener.reset();
    return;
  }
  if (!reason_.has_value()) {
    violation_ = {notification.data.nr, SystemCallName(notification.data.nr)};
  }
  End(OutcomeKind::kViolation);
}

absl::Status HeldProcess::TakeReport(Ending& ending) {
  const absl::StatusOr<Message> message =
      ReceiveMessage(handles_.channel.get(), kMessageBytesMax, 0, 0);
  if (!message.ok()) {
    reaped_ = orphaned_ = true;  // With its maker the sandbox ends, too.
    return absl::UnavailableError(
        "the process that makes sandboxes, sandbox_launcher or a zygote, has ended");
  }
  ASSIGN_OR_RETURN(LaunchReport report, DecodeLaunchReport(message->bytes));
  switch (report.kind) {
    case ReportKind::kEnded:
      ending.payload_status = report.wait_status;
      break;
    case ReportKind::kFailed:
      ending.failure = std::move(report);
      break;
    case ReportKind::kReaped:
      ending.reaped = std::move(report);
      reaped_ = true;
      break;
    default:
      break;
  }
  return absl::OkStatus();
}

// Waits for whatever happens next, and takes note of it.
absl::Status HeldProcess::Step(Ending& ending, int timeout_ms) {
  // A descriptor below zero is not waited for.
  const int out = stdout_.open() ? stdout_.fd() : -1, err = stderr_.open() ? stderr_.fd() : -1;
  std::array<pollfd, 5> ready{{{handles_.channel.get(), POLLIN, 0},
                               {out, POLLIN, 0},
                               {err, POLLIN, 0},
                               {handles_.seccomp_listener.get(), POLLIN, 0},
                               {wake_.get(), POLLIN, 0}}};
  if (::poll(ready.data(), ready.size(), timeout_ms) < 0) {
    return errno == EINTR ? absl::OkStatus() : base::ErrnoStatus(errno, "poll");
  }
  if (ready[1].revents != 0) stdout_.Drain();
  if (ready[2].revents != 0) stderr_.Drain();
  if ((ready[3].revents & POLLIN) != 0) {
    TakeViolation();
  } else if (ready[3].revents != 0) {
    handles_.seccomp_listener.reset();  // Every user of the filter is gone.
  }
  if (ready[4].revents != 0) {
    eventfd_t count = 0;
    ::eventfd_read(wake_.get(), &count);
    End(OutcomeKind::kKilled);
  }
  return ready[0].revents != 0 ? TakeReport(ending) : absl::OkStatus();
}

void HeldProcess::CheckLimits() {
  if (reason_.has_value()) return;
  if (steady_clock::now() - released_at_ >= handles_.limits.wall_clock) {
    return End(OutcomeKind::kTimedOut);
  }
  if (std::max(stdout_.bytes_seen(), stderr_.bytes_seen()) > handles_.command.stream_bytes_max) {
    return End(OutcomeKind::kOutputLimit);
  }
  // A folder of the host's is no memory of the sandbox.
  const int work_folder = handles_.host_work_folder.empty() ? handles_.work_folder.get() : -1;
  if (handles_.cgroup == nullptr &&
      MeasureTreeMemory(handles_.init_pid, work_folder) > handles_.limits.memory_bytes) {
    End(OutcomeKind::kMemoryLimit);
  }
}

int HeldProcess::NextTimeoutMs() const {
  if (reason_.has_value()) return kReapTimeoutMs;
  const auto left =
      duration_cast<milliseconds>(released_at_ + handles_.limits.wall_clock - steady_clock::now()) +
      milliseconds(1);
  const auto next = handles_.cgroup == nullptr ? std::min(left, kWatchdogInterval) : left;
  return static_cast<int>(std::clamp<std::int64_t>(next.count(), 0, 3'600'000));
}

absl::Status HeldProcess::AwaitReaping(Ending& ending) {
  const auto deadline = steady_clock::now() + milliseconds(kReapTimeoutMs);
  while (!reaped_) {
    if (steady_clock::now() >= deadline) {
      return absl::InternalError("a killed sandbox does not end");
    }
    RETURN_IF_ERROR(Step(ending, kReapTimeoutMs));
  }
  return absl::OkStatus();
}

absl::StatusOr<SandboxOutcome> HeldProcess::Wait(std::stop_token stop) {
  if (!released_ || reaped_) {
    return absl::FailedPreconditionError("a sandbox is waited for once, after it was released");
  }
  const std::stop_callback on_stop(stop, [this] { ::eventfd_write(wake_.get(), 1); });
  Ending ending;
  while (!reaped_) {
    const absl::Status status = Step(ending, NextTimeoutMs());
    if (!status.ok()) {
      End(OutcomeKind::kKilled);
      reaped_ = orphaned_ = true;  // Nobody will tell of it any more.
      return status;
    }
    if (!reaped_) CheckLimits();
    if (reason_.has_value()) RETURN_IF_ERROR(AwaitReaping(ending));
  }
  if (ending.failure.has_value()) return LayerStatus(*ending.failure);
  return MakeOutcome(ending);
}

void HeldProcess::Classify(const Ending& ending, SandboxOutcome& outcome) const {
  if (reason_.has_value()) {
    outcome.kind = *reason_;
    outcome.violation = violation_;
    return;
  }
  const int status = ending.payload_status.value_or(ending.reaped.wait_status);
  const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (!clean && handles_.cgroup != nullptr && handles_.cgroup->MemoryKills() > 0) {
    outcome.kind = OutcomeKind::kMemoryLimit;
  } else if (kill_requested_ && !ending.payload_status.has_value() && signal == SIGKILL) {
    outcome.kind = OutcomeKind::kKilled;
  } else if (signal == SIGXCPU ||
             (signal == SIGKILL && outcome.usage.cpu >= handles_.limits.cpu_time)) {
    outcome.kind = OutcomeKind::kCpuLimit;
  } else if (signal == SIGXFSZ) {
    outcome.kind = OutcomeKind::kOutputLimit;
  } else if (signal != 0) {
    outcome.kind = OutcomeKind::kSignalled;
    outcome.signal = signal;
  } else {
    outcome.kind = OutcomeKind::kExited;
    outcome.exit_code = WEXITSTATUS(status);
  }
}

void HeldProcess::SetBackground(bool background) {
  // Others may go to the background and never return.
  if (::geteuid() != 0) return;
  background_ = background;
  const sched_param none{};
  std::error_code ignored;
  const std::string tasks = base::StrCat("/proc/", handles_.payload_pid, "/task");
  for (const auto& task : std::filesystem::directory_iterator(tasks, ignored)) {
    const std::string name = task.path().filename();
    int id = 0;
    std::from_chars(name.data(), name.data() + name.size(), id);
    if (id > 0) ::sched_setscheduler(id, background ? SCHED_IDLE : SCHED_OTHER, &none);
  }
}

ResourceUsage HeldProcess::UsageSoFar() const {
  ResourceUsage usage;
  clockid_t clock{};
  timespec cpu{};
  if (::clock_getcpuclockid(handles_.payload_pid, &clock) == 0 &&
      ::clock_gettime(clock, &cpu) == 0) {
    usage.cpu = duration_cast<microseconds>(std::chrono::seconds(cpu.tv_sec) +
                                            std::chrono::nanoseconds(cpu.tv_nsec));
  }
  if (handles_.cgroup != nullptr) usage.peak_memory_bytes = handles_.cgroup->PeakMemoryBytes();
  return usage;
}

SandboxOutcome HeldProcess::MakeOutcome(const Ending& ending) {
  stdout_.Drain();
  stderr_.Drain();
  SandboxOutcome outcome;
  outcome.limit_wall = handles_.limits.wall_clock;
  outcome.usage.wall = duration_cast<microseconds>(steady_clock::now() - released_at_);
  outcome.usage.cpu = microseconds(ending.reaped.cpu_us);
  outcome.usage.peak_memory_bytes = handles_.cgroup != nullptr ? handles_.cgroup->PeakMemoryBytes()
                                                               : ending.reaped.rss_peak_kib * 1024;
  Classify(ending, outcome);
  outcome.layers = handles_.layers;
  outcome.missing = handles_.missing;
  for (const StepTime& step : handles_.steps) {
    outcome.steps.push_back({std::string(Name(step.step)), microseconds(step.taken_us)});
  }
  outcome.stdout_tail = stdout_.TakeTail();
  outcome.stderr_tail = stderr_.TakeTail();
  outcome.files = CollectFiles(handles_.work_folder.get(), handles_.command.collect);
  handles_.work_folder.reset();
  return outcome;
}

}  // namespace ncn::sandbox
