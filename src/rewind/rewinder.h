#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rewind/restorer.h"
#include "rewind/supervisor.h"

namespace ncn::rewind {

// Returns one process to the moment at which it became ready, as often as it is asked to; or makes
// it from the snapshot of another one. Used by one thread at a time.
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

  // What further processes can be made from, once it has learned. FailedPrecondition tells why
  // none can be: what the process did before it was ready is more than memory.
  absl::StatusOr<std::shared_ptr<Snapshot>> Share() const;
  // Makes the process, a sibling from the same zygote that waits for its first order in the same
  // kind of sandbox, what the other one was. After an error it is of no use: end it.
  absl::StatusOr<RewindReport> Become(std::shared_ptr<Snapshot> snapshot, int conversation);
  // Gives the process up as it is: it runs on without being watched, and is not rewound.
  absl::Status Detach();

 private:
  explicit Rewinder(std::unique_ptr<Supervisor> supervisor) : supervisor_(std::move(supervisor)) {}
  absl::StatusOr<RewindReport> RewindStopped(bool learn);
  // Until the process waits for an order.
  absl::Status WhileWaiting(const std::function<absl::Status(StoppedProcess&)>& work);

  const std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<Restorer> restorer_;
  bool learned_ = false;
};

}  // namespace ncn::rewind
