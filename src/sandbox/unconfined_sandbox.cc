#include "sandbox/unconfined_sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>

#include "base/errno_status.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/launch_plan.h"
#include "sandbox/stream_tail.h"
#include "sandbox/system_calls.h"
#include "sandbox/workspace.h"

namespace ncn::sandbox {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

class UnconfinedProcess final : public SandboxedProcess {
 public:
  UnconfinedProcess(std::string folder, base::UniqueFd work_folder, const SandboxPolicy& policy,
                    SandboxCommand command)
      : folder_(std::move(folder)),
        work_folder_(std::move(work_folder)),
        limits_(LimitsOfRun(policy.limits(), command)),
        binds_(policy.binds()),
        command_(std::move(command)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  ~UnconfinedProcess() override {
    if (pid_ > 0 && !reaped_) {
      KillGroup();
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  absl::Status Verify() override { return absl::OkStatus(); }
  absl::StatusOr<base::UniqueFd> OpenInside(const std::string& inside_path) const override {
    return OpenHostPath(binds_, inside_path);
  }

  absl::Status Release() override {
    if (pid_ > 0) return absl::FailedPreconditionError("a sandbox is released once");
    int out[2], err[2];
    if (::pipe2(out, O_CLOEXEC) != 0) return base::ErrnoStatus(errno, "pipe2");
    stdout_.emplace(base::UniqueFd(out[0]), command_.stream_tail_bytes);
    const base::UniqueFd out_write(out[1]);
    if (::pipe2(err, O_CLOEXEC) != 0) return base::ErrnoStatus(errno, "pipe2");
    stderr_.emplace(base::UniqueFd(err[0]), command_.stream_tail_bytes);
    const base::UniqueFd err_write(err[1]);
    ::fcntl(out[0], F_SETFL, O_NONBLOCK);
    ::fcntl(err[0], F_SETFL, O_NONBLOCK);
    RETURN_IF_ERROR(Spawn(out_write.get(), err_write.get()));
    released_at_ = steady_clock::now();
    pidfd_.reset(PidfdOpen(pid_));
    // Best effort: the program may be a few instructions ahead.
    const rlimit none{0, 0};
    ::prlimit(pid_, RLIMIT_CORE, &none, nullptr);
    return absl::OkStatus();
  }

  absl::StatusOr<SandboxOutcome> Wait(std::stop_token stop) override {
    if (pid_ <= 0 || reaped_) return absl::FailedPreconditionError("nothing to wait for");
    const std::stop_callback on_stop(stop, [this] { ::eventfd_write(wake_.get(), 1); });
    std::optional<OutcomeKind> reason;
    for (bool ended = false; !ended;) {
      ASSIGN_OR_RETURN(ended, Step(reason));
      if (reason.has_value()) KillGroup();
    }
    int status = 0;
    rusage usage{};
    while (::wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    KillGroup();  // What it left behind.
    return MakeOutcome(reason, status, usage);
  }

  void Kill() override {
    kill_requested_ = true;
    ::eventfd_write(wake_.get(), 1);
  }
  int pid() const override { return pid_; }

 private:
  absl::Status Spawn(int out, int err) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, out, 1);
    ::posix_spawn_file_actions_adddup2(&actions, err, 2);
    ::posix_spawn_file_actions_addchdir_np(&actions, folder_.c_str());
    ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t all, none;
    ::sigfillset(&all);
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    const std::vector<char*> argv = Pointers(command_.argv);
    const std::vector<char*> environment = Pointers(command_.environment);
    const int error = ::posix_spawn(&pid_, command_.argv[0].c_str(), &actions, &attributes,
                                    argv.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (error == 0) return absl::OkStatus();
    pid_ = -1;
    return base::ErrnoStatus(error, "start of " + command_.argv[0]);
  }

  void KillGroup() const { ::kill(-pid_, SIGKILL); }

  // Waits for the next thing to happen; true when the command has ended.
  absl::StatusOr<bool> Step(std::optional<OutcomeKind>& reason) {
    const auto left =
        duration_cast<milliseconds>(released_at_ + limits_.wall_clock - steady_clock::now()) +
        milliseconds(1);
    const int timeout =
        reason.has_value() ? -1
                           : static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
    std::array<pollfd, 4> ready{{{pidfd_.get(), POLLIN, 0},
                                 {stdout_->open() ? stdout_->fd() : -1, POLLIN, 0},
                                 {stderr_->open() ? stderr_->fd() : -1, POLLIN, 0},
                                 {wake_.get(), POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), timeout) < 0 && errno != EINTR) {
      return base::ErrnoStatus(errno, "poll");
    }
    if (ready[1].revents != 0) stdout_->Drain();
    if (ready[2].revents != 0) stderr_->Drain();
    if (ready[0].revents != 0) return true;
    if (reason.has_value()) return false;
    if (ready[3].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(wake_.get(), &count);
      reason = OutcomeKind::kKilled;
    } else if (steady_clock::now() - released_at_ >= limits_.wall_clock) {
      reason = OutcomeKind::kTimedOut;
    } else if (std::max(stdout_->bytes_seen(), stderr_->bytes_seen()) > command_.stream_bytes_max) {
      reason = OutcomeKind::kOutputLimit;
    }
    return false;
  }

  SandboxOutcome MakeOutcome(std::optional<OutcomeKind> reason, int status, const rusage& usage) {
    stdout_->Drain();
    stderr_->Drain();
    SandboxOutcome outcome;
    outcome.limit_wall = limits_.wall_clock;
    outcome.usage.wall = duration_cast<microseconds>(steady_clock::now() - released_at_);
    outcome.usage.cpu = std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    outcome.usage.peak_memory_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    if (reason.has_value()) {
      outcome.kind = *reason;
    } else if (WIFSIGNALED(status)) {
      outcome.kind = OutcomeKind::kSignalled;
      outcome.signal = WTERMSIG(status);
    } else {
      outcome.kind = OutcomeKind::kExited;
      outcome.exit_code = WEXITSTATUS(status);
    }
    outcome.missing = {"every layer (SANDBOX_MODE=disabled)"};
    outcome.stdout_tail = stdout_->TakeTail();
    outcome.stderr_tail = stderr_->TakeTail();
    outcome.files = CollectFiles(work_folder_.get(), command_.collect);
    return outcome;
  }

  const std::string folder_;
  const base::UniqueFd work_folder_;
  const inference::ExecutionLimits limits_;
  const std::vector<ReadOnlyBind> binds_;
  SandboxCommand command_;
  base::UniqueFd wake_;
  std::optional<StreamTail> stdout_;
  std::optional<StreamTail> stderr_;
  base::UniqueFd pidfd_;
  pid_t pid_ = -1;
  bool reaped_ = false;
  steady_clock::time_point released_at_;
  std::atomic<bool> kill_requested_ = false;
};

}  // namespace

UnconfinedSandbox::UnconfinedSandbox() {
  base::Log("sandbox").warn(
      "SANDBOX_MODE=disabled: models and executors run with all the rights of this node, without "
      "any "
      "isolation; never do this with models of others");
}

absl::StatusOr<std::unique_ptr<SandboxedProcess>> UnconfinedSandbox::Start(
    const SandboxPolicy& policy, SandboxCommand command) {
  RETURN_IF_ERROR(CheckCommand(command));
  if (!policy.uses_host_system()) {
    return absl::FailedPreconditionError(
        base::StrCat("SANDBOX_MODE=disabled cannot run the programs of the image ", policy.root(),
                     ": they need its libraries in their place. Use a virtual environment of this "
                     "machine (PYTHON_EXECUTOR_PATH), or another mode"));
  }
  std::string folder = "/tmp/ncn-work-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return base::ErrnoStatus(errno, "mkdtemp in /tmp");
  base::UniqueFd work_folder(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::vector<SandboxCommand::InputFile> files = std::move(command.files);
  for (std::string& text : command.argv) text = TranslateToHost(policy, folder, text);
  for (std::string& text : command.environment) text = TranslateToHost(policy, folder, text);
  auto process = std::make_unique<UnconfinedProcess>(folder, std::move(work_folder), policy,
                                                     std::move(command));
  const base::UniqueFd place(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  RETURN_IF_ERROR(PlaceFiles(place.get(), files, {::geteuid(), ::getegid()}));
  return std::unique_ptr<SandboxedProcess>(std::move(process));
}

}  // namespace ncn::sandbox
