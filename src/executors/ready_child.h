#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "executors/outcome_reading.h"
#include "inference/failure.h"
#include "inference/inference_request.h"
#include "inference/progress.h"
#include "sandbox/sandbox_outcome.h"

namespace ncn::executors {

// How deep a child's first call goes, which is made before there is a request: with inputs of the
// model's own size, when there is time; with the smallest that it takes, when others compute
// meanwhile; none, when a request would wait for it.
enum class WarmUp { kFull, kSmall, kNone };

// What is done for a child before there is a request.
struct Preparation {
  WarmUp warm_up = WarmUp::kFull;
  bool check_weights = true;  // Once for a file is enough.
  bool background = false;    // Leaves the processors to those that answer.
};

// A sandbox that has loaded one model and waits for a request. Used by one thread at a time;
// destruction kills it.
class ReadyChild {
 public:
  virtual ~ReadyChild() = default;

  // One request, which a message about the time-out counts from `since`. `on_progress`, which may
  // be empty, hears how far it is, not more often than now and then. After a Failure that the
  // executor did not report itself, the child is dead.
  virtual std::variant<ExecutorAnswer, inference::Failure> Answer(
      const inference::InferenceRequest& request, base::SteadyTime since, base::SteadyTime deadline,
      std::stop_token stop, const inference::OnProgress& on_progress) = 0;
  virtual bool rewindable() const { return false; }
  // After an answer: makes it what it was before the request. An error tells why it cannot be; it
  // is then of no more use.
  virtual absl::Status Rewind() { return absl::UnimplementedError("not watched from its start"); }
  // Kills it without waiting. Thread-safe.
  virtual void Kill() = 0;
  // Whether it still waits, as it should.
  virtual bool usable() const = 0;
  // Whether it is known to have ended by itself, and not because somebody killed it.
  virtual bool crashed() const { return false; }
  virtual int pid() const = 0;
  virtual std::uint32_t answered() const = 0;  // Requests so far.
  virtual base::SteadyTime ready_since() const = 0;
  virtual std::chrono::microseconds cpu_time() const = 0;    // Since its start, to the last answer.
  virtual sandbox::ResourceUsage UsageOfAnswer() const = 0;  // Of the last one.
  virtual std::vector<std::string> layers() const = 0;
  virtual std::vector<std::string> missing() const = 0;
};

// Memory that the children of one model have in common, beyond what the kernel shares by itself.
// Thread-safe.
class SharedByChildren {
 public:
  virtual ~SharedByChildren() = default;
  virtual std::uint64_t memory_bytes() const = 0;
  // Whether the next child that is warmed up makes it, so that a full first call pays for all.
  virtual bool wanted() const = 0;
  // Lets go of it; children that there are keep it for as long as they live.
  virtual void Drop() = 0;
};

}  // namespace ncn::executors
