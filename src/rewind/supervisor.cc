#include "rewind/supervisor.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "rewind/watched_calls.h"

namespace ncn::rewind {
namespace {

constexpr std::chrono::seconds kStopTimeMax(1);
// Of <linux/pidfd.h>, since Linux 6.9.
constexpr unsigned kPidfdThread = O_EXCL;
constexpr unsigned kPidfdSignalThreadGroup = 1U << 1;
constexpr std::size_t kAdvisedMax = 10'000;
constexpr std::size_t kExtendedBytesMax = 16 << 10;
constexpr unsigned long kOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE |
                                   PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;

template <typename Data>
long Ptrace(long request, pid_t thread, std::uintptr_t address, Data data) {
  return ::syscall(SYS_ptrace, request, thread, address, data);
}

// Waits for a thread of this tracer; -1 for any.
pid_t WaitFor(pid_t thread, int* status) {
  while (true) {
    const pid_t who = ::waitpid(thread, status, __WALL | __WNOTHREAD);
    if (who >= 0 || errno != EINTR) return who;
  }
}

int EventOf(int status) { return status >> 16; }

}  // namespace

class Supervisor::Stopped final : public StoppedProcess {
 public:
  explicit Stopped(Supervisor& supervisor) : supervisor_(supervisor) {}

  pid_t pid() const override { return supervisor_.pid_; }
  std::vector<pid_t> threads() const override { return supervisor_.threads_; }

  absl::StatusOr<ThreadState> Save(pid_t thread) const override {
    ThreadState state;
    state.extended.resize(kExtendedBytesMax);
    iovec area{state.extended.data(), state.extended.size()};
    if (Ptrace(PTRACE_GETREGS, thread, 0, &state.registers) != 0 ||
        Ptrace(PTRACE_GETREGSET, thread, NT_X86_XSTATE, &area) != 0 ||
        Ptrace(PTRACE_GETSIGMASK, thread, sizeof(state.signal_mask), &state.signal_mask) != 0) {
      return base::ErrnoStatus(errno, "reading the registers of a thread");
    }
    state.extended.resize(area.iov_len);
    return state;
  }

  absl::Status Restore(pid_t thread, const ThreadState& state) override {
    iovec area{const_cast<char*>(state.extended.data()), state.extended.size()};
    if (Ptrace(PTRACE_SETREGSET, thread, NT_X86_XSTATE, &area) != 0 ||
        Ptrace(PTRACE_SETREGS, thread, 0, &state.registers) != 0 ||
        Ptrace(PTRACE_SETSIGMASK, thread, sizeof(state.signal_mask), &state.signal_mask) != 0) {
      return base::ErrnoStatus(errno, "restoring the registers of a thread");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int> PendingSignal(pid_t thread) const override {
    for (const std::uint32_t queue : {0U, static_cast<unsigned>(PTRACE_PEEKSIGINFO_SHARED)}) {
      siginfo_t signal;
      const __ptrace_peeksiginfo_args first{.off = 0, .flags = queue, .nr = 1};
      const long count =
          Ptrace(PTRACE_PEEKSIGINFO, thread, reinterpret_cast<std::uintptr_t>(&first), &signal);
      if (count < 0) return base::ErrnoStatus(errno, "looking for pending signals");
      if (count > 0) return signal.si_signo;
    }
    return absl::NotFoundError("no signal is pending");
  }

  absl::StatusOr<std::int64_t> Inject(std::uint64_t instruction, long call,
                                      const std::array<std::uint64_t, 6>& arguments) override {
    user_regs_struct registers;
    if (Ptrace(PTRACE_GETREGS, pid(), 0, &registers) != 0) {
      return base::ErrnoStatus(errno, "reading registers");
    }
    registers.rip = instruction;
    registers.rax = static_cast<std::uint64_t>(call);
    registers.orig_rax = ~0ULL;  // No call to be restarted.
    registers.rdi = arguments[0];
    registers.rsi = arguments[1];
    registers.rdx = arguments[2];
    registers.r10 = arguments[3];
    registers.r8 = arguments[4];
    registers.r9 = arguments[5];
    if (Ptrace(PTRACE_SETREGS, pid(), 0, &registers) != 0) {
      return base::ErrnoStatus(errno, "setting registers");
    }
    RETURN_IF_ERROR(RunTo(PTRACE_SINGLESTEP, [] {}));
    if (Ptrace(PTRACE_GETREGS, pid(), 0, &registers) != 0) {
      return base::ErrnoStatus(errno, "reading registers");
    }
    return static_cast<std::int64_t>(registers.rax);
  }

  absl::StatusOr<user_regs_struct> RunToBreakpoint(
      std::uint64_t instruction, const LoopRegisters& tables,
      const std::function<void()>& meanwhile) override {
    user_regs_struct registers;
    if (Ptrace(PTRACE_GETREGS, pid(), 0, &registers) != 0) {
      return base::ErrnoStatus(errno, "reading registers");
    }
    registers.rip = instruction;
    registers.orig_rax = ~0ULL;  // No call to be restarted.
    registers.r12 = tables.r12;
    registers.r13 = tables.r13;
    registers.r14 = tables.r14;
    registers.r15 = tables.r15;
    if (Ptrace(PTRACE_SETREGS, pid(), 0, &registers) != 0) {
      return base::ErrnoStatus(errno, "setting registers");
    }
    RETURN_IF_ERROR(RunTo(PTRACE_CONT, meanwhile));
    if (Ptrace(PTRACE_GETREGS, pid(), 0, &registers) != 0) {
      return base::ErrnoStatus(errno, "reading registers");
    }
    return registers;
  }

 private:
  // Until the trap that this way of going on ends with.
  absl::Status RunTo(long how, const std::function<void()>& meanwhile) {
    for (bool first = true;; first = false) {
      int status = 0;
      const bool runs = Ptrace(how, pid(), 0, 0) == 0;
      if (first) meanwhile();
      if (!runs || WaitFor(pid(), &status) != pid()) {
        return base::ErrnoStatus(errno, "letting a stopped process make a call");
      }
      if (!WIFSTOPPED(status)) return absl::UnavailableError("the process ended while stopped");
      if (EventOf(status) == PTRACE_EVENT_SECCOMP) continue;  // Our own call.
      if (EventOf(status) != 0 || WSTOPSIG(status) != SIGTRAP) {
        return absl::FailedPreconditionError("a signal came while the process was stopped");
      }
      return absl::OkStatus();
    }
  }

  Supervisor& supervisor_;
};

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Attach(pid_t pid) {
  base::UniqueFd main_thread(static_cast<int>(::syscall(SYS_pidfd_open, pid, kPidfdThread)));
  if (!main_thread.valid()) return base::ErrnoStatus(errno, "pidfd_open of a thread");
  std::unique_ptr<Supervisor> supervisor(new Supervisor(pid, std::move(main_thread)));
  std::promise<absl::Status> promise;
  auto attached = promise.get_future();
  supervisor->tracer_ =
      std::jthread([self = supervisor.get(), promise = std::move(promise)]() mutable {
        self->Trace(std::move(promise));
      });
  RETURN_IF_ERROR(attached.get());
  return supervisor;
}

Supervisor::~Supervisor() {
  if (!detached_) Send(SIGKILL);
}

void Supervisor::Send(int signal) const {
  // A thread that has ended takes no signal for the others.
  const unsigned to = signal == SIGKILL ? kPidfdSignalThreadGroup : 0;
  ::syscall(SYS_pidfd_send_signal, main_thread_.get(), signal, nullptr, to);
}

void Supervisor::Trace(std::promise<absl::Status> attached) {
  if (Ptrace(PTRACE_SEIZE, pid_, 0, kOptions) != 0) {
    attached.set_value(base::ErrnoStatus(errno, "PTRACE_SEIZE of a ready sandbox's process"));
    const std::lock_guard lock(mutex_);
    ended_ = true;
    return;
  }
  threads_ = {pid_};
  attached.set_value(absl::OkStatus());
  int status = 0;
  pid_t thread = 0;
  while ((thread = WaitFor(-1, &status)) > 0) {
    if (WIFSTOPPED(status)) {
      HandleStop(thread, status);
    } else {
      if (thread == pid_) break;  // The last of its threads; what it forked ends with the tracer.
      Suspect("a thread has ended");
      std::erase(threads_, thread);
    }
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (work_) work_->done.set_value(absl::UnavailableError("the process has ended"));
  work_.reset();
}

void Supervisor::HandleStop(pid_t thread, int status) {
  const int signal = Note(thread, status);
  const bool ours = thread == pid_ && EventOf(status) == 0 && WSTOPSIG(status) == SIGSTOP;
  if (ours) DoWork();
  Ptrace(detached_ ? PTRACE_DETACH : PTRACE_CONT, thread, 0, signal);
}

int Supervisor::Note(pid_t thread, int status) {
  switch (EventOf(status)) {
    case PTRACE_EVENT_SECCOMP: {
      ++calls_;
      user_regs_struct registers;
      const bool read = Ptrace(PTRACE_GETREGS, thread, 0, &registers) == 0;
      const CallEffect effect = read ? EffectOf(registers) : CallEffect::kUnknown;
      if (effect == CallEffect::kDescriptors) descriptors_touched_ = true;
      if (effect == CallEffect::kLayout) layout_touched_ = true;
      if (effect == CallEffect::kAdvice && watching_) {
        const std::lock_guard lock(mutex_);
        if (advised_.size() < kAdvisedMax) {
          advised_.push_back({registers.rdi, registers.rdi + registers.rsi});
        } else if (suspicion_.empty()) {
          suspicion_ = "advice on very many ranges of memory";
        }
      }
      // A file that is read otherwise than before is closed when the load is over.
      if (effect == CallEffect::kUnknown ||
          (effect == CallEffect::kDescriptorAdvice && watching_)) {
        Suspect(base::StrCat("system call ", CallName(registers)));
      }
      return 0;
    }
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK: {
      // Traced from now on, and known before its parent goes on.
      unsigned long made = 0;
      if (Ptrace(PTRACE_GETEVENTMSG, thread, 0, &made) == 0) Know(static_cast<pid_t>(made));
      Suspect("a new thread or process");
      return 0;
    }
    case PTRACE_EVENT_EXEC:
      Suspect("another program");
      return 0;
    case PTRACE_EVENT_STOP:
      // The first stop of a new thread, or one that was asked for.
      Know(thread);
      return 0;
    case 0:
      break;
    default:
      Suspect("an event that was not asked for");
      return 0;
  }
  const int signal = WSTOPSIG(status);
  if (signal == SIGSTOP) {
    const std::lock_guard lock(mutex_);
    if (!work_ && watching_ && suspicion_.empty()) suspicion_ = "SIGSTOP";
    return 0;  // Ours, or one that would stop us from reaching the process.
  }
  Suspect(base::StrCat("signal ", signal));
  return signal;
}

void Supervisor::Know(pid_t thread) {
  if (std::ranges::find(threads_, thread) != threads_.end()) return;
  threads_.push_back(thread);
  // Numbers wrap; the main thread stays first.
  std::sort(threads_.begin() + 1, threads_.end());
}

void Supervisor::DoWork() {
  std::unique_ptr<Work> work;
  {
    const std::lock_guard lock(mutex_);
    work = std::move(work_);
  }
  if (!work) return;
  const pid_t main = pid_;
  if (!StopOthers()) {
    work->done.set_value(absl::FailedPreconditionError("cannot be rewound: a thread has ended"));
    return;
  }
  if (!LeaveCriticalSection()) {
    work->done.set_value(absl::FailedPreconditionError("cannot be rewound: its rseq area is gone"));
    return;
  }
  Stopped stopped(*this);
  absl::Status status = work->function(stopped);
  for (const pid_t thread : threads_) {
    if (thread != main) Ptrace(detached_ ? PTRACE_DETACH : PTRACE_CONT, thread, 0, 0);
  }
  work->done.set_value(std::move(status));
}

bool Supervisor::LeaveCriticalSection() {
  // The kernel sends a thread that goes on within its restartable sequence to an address that the
  // thread has chosen. What it is made to run is not to be such a sequence.
  __ptrace_rseq_configuration area{};
  if (Ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid_, sizeof(area), &area) < 0) return false;
  if (area.rseq_abi_pointer == 0) return true;
  constexpr std::uint64_t kSequenceOffset = 8;  // rseq_cs of struct rseq.
  return Ptrace(PTRACE_POKEDATA, pid_, area.rseq_abi_pointer + kSequenceOffset, 0L) == 0;
}

bool Supervisor::StopOthers() {
  for (const pid_t thread : std::vector(threads_)) {
    if (thread == pid_) continue;
    if (Ptrace(PTRACE_INTERRUPT, thread, 0, 0) != 0) return false;
    while (true) {
      int status = 0;
      if (WaitFor(thread, &status) != thread || !WIFSTOPPED(status)) {
        std::erase(threads_, thread);
        Suspect("a thread has ended");
        return false;
      }
      const int signal = Note(thread, status);
      if (EventOf(status) == PTRACE_EVENT_STOP) break;
      Ptrace(PTRACE_CONT, thread, 0, signal);
    }
  }
  return true;
}

absl::Status Supervisor::WhileStopped(std::function<absl::Status(StoppedProcess&)> work) {
  auto mine = std::make_unique<Work>();
  mine->function = std::move(work);
  const Work* const which = mine.get();
  auto done = mine->done.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return absl::UnavailableError("the process has ended");
    if (work_) return absl::FailedPreconditionError("the process is being stopped already");
    work_ = std::move(mine);
    Send(SIGSTOP);  // Neither blocked nor ignored, and it wakes the tracer.
  }
  if (done.wait_for(kStopTimeMax) != std::future_status::ready) {
    const std::lock_guard lock(mutex_);
    if (work_.get() == which) {
      work_.reset();
      return absl::DeadlineExceededError("the process cannot be stopped");
    }
  }
  return done.get();
}

Supervisor::Touched Supervisor::TakeTouched() {
  const std::lock_guard lock(mutex_);
  return {descriptors_touched_.exchange(false), layout_touched_.exchange(false), calls_.exchange(0),
          std::exchange(advised_, {})};
}

void Supervisor::Watch() {
  TakeTouched();
  const std::lock_guard lock(mutex_);
  suspicion_before_ = std::exchange(suspicion_, {});
  watching_ = true;
}

absl::Status Supervisor::Detach() {
  return WhileStopped([this](StoppedProcess&) {
    detached_ = true;
    return absl::OkStatus();
  });
}

std::string Supervisor::SuspicionBefore() const {
  const std::lock_guard lock(mutex_);
  return suspicion_before_;
}

std::string Supervisor::Suspicion() const {
  const std::lock_guard lock(mutex_);
  return suspicion_;
}

void Supervisor::Suspect(std::string what) {
  const std::lock_guard lock(mutex_);
  if (suspicion_.empty()) suspicion_ = std::move(what);
}

}  // namespace ncn::rewind
