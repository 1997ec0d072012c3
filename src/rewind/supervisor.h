#pragma once

#include <sys/user.h>

#include <array>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "rewind/memory_map.h"

namespace ncn::rewind {

// What of a thread is not memory.
struct ThreadState {
  user_regs_struct registers;  // General registers, flags, the bases of fs and gs.
  std::string extended;        // The XSAVE area: x87, MXCSR, SSE, AVX, protection keys.
  std::uint64_t signal_mask = 0;
};

// Where a loop that a process is made to run finds what it is to do.
struct LoopRegisters {
  std::uint64_t r12 = 0, r13 = 0, r14 = 0, r15 = 0;
};

// A process of which every thread stands still; exists within Supervisor::WhileStopped.
class StoppedProcess {
 public:
  virtual ~StoppedProcess() = default;
  virtual pid_t pid() const = 0;
  // In ascending order; the first is the main thread's, pid().
  virtual std::vector<pid_t> threads() const = 0;
  virtual absl::StatusOr<ThreadState> Save(pid_t thread) const = 0;
  virtual absl::Status Restore(pid_t thread, const ThreadState& state) = 0;
  // NotFound when no signal waits for the thread or for the process.
  virtual absl::StatusOr<int> PendingSignal(pid_t thread) const = 0;
  // Lets the main thread make one system call and returns what it returned, -errno for an error.
  // Leaves its registers changed. `instruction` is the address of a syscall instruction.
  virtual absl::StatusOr<std::int64_t> Inject(std::uint64_t instruction, long call,
                                              const std::array<std::uint64_t, 6>& arguments) = 0;
  // Lets the main thread run from `instruction`, with these in its registers, to a breakpoint
  // instruction; its registers there. Calls `meanwhile` while it runs.
  virtual absl::StatusOr<user_regs_struct> RunToBreakpoint(
      std::uint64_t instruction, const LoopRegisters& tables,
      const std::function<void()>& meanwhile) = 0;
};

// Traces one process from before its first instruction to its end, on a thread of its own. When
// this thread or the node ends, so does the process. Thread-safe.
class Supervisor {
 public:
  // `pid` is a process with one thread that waits to be released. Only one whose filter is of
  // CompileWatchFilter() can be rewound. PermissionDenied where the kernel forbids it.
  static absl::StatusOr<std::unique_ptr<Supervisor>> Attach(pid_t pid);
  // Kills the process, and waits until it is gone.
  ~Supervisor();

  // Stops every thread, calls `work`, and lets them go on; the status of `work`. Unavailable when
  // the process has ended, DeadlineExceeded when it cannot be stopped for a second.
  absl::Status WhileStopped(std::function<absl::Status(StoppedProcess&)> work);

  // From now on what the process does counts that cannot be undone. Within WhileStopped.
  void Watch();
  // The first such thing since Watch, for people; empty: none.
  std::string Suspicion() const;
  // The same of before Watch, for a process with a filter of CompileWatchFilter().
  std::string SuspicionBefore() const;
  // What may have changed since Watch, or since this was last asked.
  struct Touched {
    bool descriptors = false;
    bool layout = false;
    std::uint32_t calls = 0;  // That it was stopped at.
    std::vector<Range> advised;
  };
  Touched TakeTouched();

  // Lets the process go on untraced; its end is then no longer bound to this one's. For one without
  // a filter of CompileWatchFilter(), which fails most calls of who is not traced.
  absl::Status Detach();

 private:
  class Stopped;
  struct Work {
    std::function<absl::Status(StoppedProcess&)> function;
    std::promise<absl::Status> done;
  };

  Supervisor(pid_t pid, base::UniqueFd main_thread)
      : pid_(pid), main_thread_(std::move(main_thread)) {}
  void Send(int signal) const;
  void Trace(std::promise<absl::Status> attached);
  // A thread has stopped; lets it go on.
  void HandleStop(pid_t thread, int status);
  // What a stop tells. The signal to deliver with the thread's next step.
  int Note(pid_t thread, int status);
  // Remembers a thread, or a process that was forked, as one that is traced.
  void Know(pid_t thread);
  void DoWork();
  bool StopOthers();
  bool LeaveCriticalSection();
  void Suspect(std::string what);

  const pid_t pid_;
  const base::UniqueFd main_thread_;  // A pidfd.
  std::vector<pid_t> threads_;        // Of the tracing thread.
  std::atomic<bool> watching_ = false;
  std::atomic<bool> detached_ = false;
  std::atomic<bool> descriptors_touched_ = false;
  std::atomic<bool> layout_touched_ = false;
  std::atomic<std::uint32_t> calls_ = 0;
  mutable std::mutex mutex_;
  std::string suspicion_;
  std::string suspicion_before_;  // Of Watch.
  std::vector<Range> advised_;
  std::unique_ptr<Work> work_;  // Waits for the main thread to stop.
  bool ended_ = false;
  std::jthread tracer_;
};

}  // namespace ncn::rewind
