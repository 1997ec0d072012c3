#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rewind/snapshot.h"
#include "rewind/supervisor.h"

namespace ncn::rewind {

// Returns one process to the moment at which it became ready, as often as it is asked to. Used by
// one thread at a time.
class Rewinder {
 public:
  // Begins to watch a process that is held before its first instruction; see Supervisor::Attach.
  static absl::StatusOr<std::unique_ptr<Rewinder>> Attach(pid_t held);

  // Takes the snapshot of the process, which waits for its first request. `conversation` is the
  // other end of its descriptor kConversation, a Unix stream socket on which nothing is under way.
  // FailedPrecondition tells what of the process cannot be rewound.
  absl::Status TakeSnapshot(int conversation);
  // Rewinds, and takes for granted that every request writes what was written since the snapshot,
  // so that these pages are given back without a fault. Before there is a request: what a client
  // made the process write must not tell the next one.
  absl::StatusOr<RewindReport> Learn();
  // Rewinds. After an error the process has state that is left over: end it. FailedPrecondition
  // names that state.
  absl::StatusOr<RewindReport> Rewind();

 private:
  explicit Rewinder(std::unique_ptr<Supervisor> supervisor) : supervisor_(std::move(supervisor)) {}
  absl::StatusOr<RewindReport> RewindStopped(bool learn);

  const std::unique_ptr<Supervisor> supervisor_;
  int conversation_ = -1;
  std::unique_ptr<Snapshot> snapshot_;
};

}  // namespace ncn::rewind
