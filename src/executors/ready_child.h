#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <variant>

#include "base/clock.h"
#include "executors/conversation.h"
#include "executors/executor_selector.h"
#include "executors/outcome_reading.h"
#include "inference/inference_request.h"
#include "inference/inference_response.h"
#include "models/model_store.h"
#include "sandbox/sandbox.h"

namespace ncn::executors {

// How deep a child's first call goes: with inputs of the model's own size, with the smallest that
// it takes, or none.
enum class WarmUp { kFull, kSmall, kNone };

// What a child is to load.
struct LoadOrder {
  std::string script;  // Inside paths.
  std::string model;
  std::uint32_t threads = 1;
  WarmUp warm_up = WarmUp::kFull;
  std::uint64_t output_bytes_max = 0;
};

// A sandbox that has loaded one model and waits for a request: a zygote's child. Used by one thread
// at a time; destruction kills it and waits until it is gone.
class ReadyChild {
 public:
  // Forks a child, verifies it from outside, lets it load and waits until it says that it is ready.
  // A model that cannot be loaded, a limit or a violation is a Failure; what keeps any child from
  // being made, a Status.
  static absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, inference::Failure>> Start(
      std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy,
      const LoadOrder& order, base::SteadyTime deadline, std::stop_token stop);
  ~ReadyChild();
  ReadyChild(const ReadyChild&) = delete;
  ReadyChild& operator=(const ReadyChild&) = delete;

  // One request, which a message about the time-out counts from `since`. After a Failure that the
  // executor did not report itself, the child is dead.
  std::variant<ExecutorAnswer, inference::Failure> Answer(
      const inference::InferenceRequest& request, base::SteadyTime since, base::SteadyTime deadline,
      std::stop_token stop);
  // Kills it without waiting. Thread-safe.
  void Kill();
  // Whether it still waits, as it should.
  bool usable() const;

  int pid() const { return process_->pid(); }
  std::uint32_t answered() const { return answered_; }
  sandbox::ResourceUsage UsageSoFar() const { return process_->UsageSoFar(); }
  std::vector<std::string> layers() const { return process_->layers(); }
  std::vector<std::string> missing() const { return process_->missing(); }
  // Steps of the load as the child measured them, after the sandbox's own.
  const std::vector<inference::StepTime>& load_steps() const { return load_steps_; }

 private:
  ReadyChild(std::shared_ptr<sandbox::Zygote> zygote,
             std::unique_ptr<sandbox::SandboxedProcess> process, base::UniqueFd socket,
             std::uint64_t output_bytes_max);

  // A frame, or why there is none: kills the child in that case and reads its outcome.
  std::variant<Frame, inference::Failure> Exchange(std::string_view header, std::string_view body,
                                                   base::SteadyTime since,
                                                   base::SteadyTime deadline, std::stop_token stop);
  inference::Failure WhyEnded(const absl::Status& why, bool stopped);

  const std::shared_ptr<sandbox::Zygote> zygote_;  // Outlives the process.
  const std::unique_ptr<sandbox::SandboxedProcess> process_;
  Conversation conversation_;
  const std::uint64_t output_bytes_max_;
  std::uint32_t answered_ = 0;
  bool dead_ = false;
  std::vector<inference::StepTime> load_steps_;
  absl::StatusOr<sandbox::SandboxOutcome> outcome_;  // Written by the waiter before it ends.
  std::atomic<bool> ended_ = false;
  std::jthread waiter_;
};

}  // namespace ncn::executors
