#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "execution/execution.h"

namespace ncn::execution {

// How full the queue is at one moment.
struct QueueOccupancy {
  std::size_t slots = 0;
  std::size_t running = 0;
  std::size_t waiting = 0;
};

// Lets at most `slots` requests run at once and at most `waiting_max` wait, first come first
// served. A request beyond that fails as QUEUE_FULL at once; one whose deadline passes or that is
// cancelled while it waits never runs. Thread-safe.
class QueuedExecution final : public Execution {
 public:
  QueuedExecution(std::unique_ptr<Execution> next, std::size_t slots, std::size_t waiting_max,
                  const base::Clock& clock);

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

  QueueOccupancy Occupancy() const;

 private:
  enum class Admission { kRun, kFull, kCancelled, kTimedOut };
  Admission WaitForSlot(const ExecutionContext& context);
  void ReleaseSlot();

  const std::unique_ptr<Execution> next_;
  const std::size_t slots_;
  const std::size_t waiting_max_;
  const base::Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable_any turn_;
  // Guarded by mutex_. Tickets are handed out in order; a waiter runs when a slot is free and every
  // earlier waiter has run or gone.
  std::uint64_t next_ticket_ = 0;
  std::deque<std::uint64_t> waiting_;
  std::size_t running_ = 0;
};

}  // namespace ncn::execution
