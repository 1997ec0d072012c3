#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "rewind/process_memory.h"
#include "rewind/remote_calls.h"
#include "rewind/snapshot.h"
#include "rewind/supervisor.h"

namespace ncn::rewind {

// What one rewind did, and where its time went.
struct RewindReport {
  std::uint64_t pages_written = 0;  // From the image.
  std::uint64_t pages_dropped = 0;  // Back to what is behind them.
  std::uint32_t mappings_repaired = 0;
  std::uint32_t calls = 0;           // That the request was stopped at.
  std::chrono::nanoseconds stop{0};  // Until every thread stood still.
  std::chrono::nanoseconds layout{0};
  std::chrono::nanoseconds scan{0};
  std::chrono::nanoseconds write{0};
  std::chrono::nanoseconds rest{0};  // Registers, signals, descriptors.
};

// Makes one process what a snapshot says, while it stands still. Used by one thread at a time.
class Restorer {
 public:
  // Takes the snapshot of the process itself.
  static absl::StatusOr<std::unique_ptr<Restorer>> OfReady(StoppedProcess& process,
                                                           int conversation);
  // Turns another process of the same zygote, which has loaded nothing and waits for its first
  // order, into what the snapshot says. FailedPrecondition: it cannot be; it is of no use then.
  static absl::StatusOr<std::unique_ptr<Restorer>> OfFresh(StoppedProcess& process,
                                                           int conversation,
                                                           std::shared_ptr<Snapshot> snapshot,
                                                           RewindReport* report);

  // Puts the state back. With `learn` the pages found written count as part of the snapshot, which
  // nobody shares yet.
  absl::Status Rewind(StoppedProcess& process, Supervisor::Touched touched, bool learn,
                      RewindReport* report);

  const std::shared_ptr<Snapshot>& snapshot() const { return snapshot_; }

 private:
  Restorer(ProcessMemory memory, int conversation, std::shared_ptr<Snapshot> snapshot,
           std::vector<pid_t> threads, std::map<int, Descriptor> descriptors)
      : memory_(std::move(memory)),
        conversation_(conversation),
        snapshot_(std::move(snapshot)),
        threads_(std::move(threads)),
        descriptors_(std::move(descriptors)) {}

  // Whether all that cannot be restored is as it was.
  absl::Status CheckUnchanged(const StoppedProcess& process,
                              const Supervisor::Touched& touched) const;
  // The pages of these ranges that are the process's own.
  absl::StatusOr<std::vector<Range>> OwnPages(const std::vector<Range>& ranges,
                                              RewindReport* report) const;
  // The same, less those that are written back.
  absl::StatusOr<std::vector<Range>> FindStrays(const std::vector<Range>& ranges,
                                                RewindReport* report) const;
  // They show again what is behind them.
  static std::vector<RemoteCalls::Call> Dropping(const std::vector<Range>& strays,
                                                 RewindReport* report);
  // Where there were some, there may be some again.
  void LookFor(const std::vector<Range>& strays);
  // Whether it reaches further down than the snapshot's, whatever is there.
  absl::StatusOr<bool> StackHasGrown() const;
  absl::Status AdoptStack(pid_t pid);
  // Process and node write back what requests write. False: there is more to be restored than
  // pages.
  absl::StatusOr<bool> RestoreAtOnce(StoppedProcess& process, RewindReport* report);
  // Layout, then pages, all from outside.
  absl::Status RestoreInSteps(StoppedProcess& process, const Supervisor::Touched& touched,
                              bool learn, RewindReport* report);
  absl::Status WriteStack() const;
  absl::Status RestoreThreads(StoppedProcess& process) const;

  const ProcessMemory memory_;
  const int conversation_;
  const std::shared_ptr<Snapshot> snapshot_;
  const std::vector<pid_t> threads_;  // In the order of the snapshot's.
  const std::map<int, Descriptor> descriptors_;
  std::vector<Range> likely_;  // Where its requests write, beyond what is written back.
};

}  // namespace ncn::rewind
