#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <variant>

#include "base/clock.h"
#include "executors/child_template.h"
#include "executors/conversation.h"
#include "executors/ready_child.h"
#include "models/mounted_model.h"
#include "rewind/rewinder.h"
#include "sandbox/sandbox.h"

namespace ncn::executors {

// What a child is to load.
struct LoadOrder {
  std::string script;  // Inside paths.
  std::string model;
  std::uint32_t threads = 1;
  std::uint32_t requests_max = 1;
  Preparation preparation;
  std::uint64_t output_bytes_max = 0;
  bool draws_numbers = true;  // Of generators that have to be seeded.
  bool rewindable = false;    // Watched from its start, so that it can be rewound.
  // Makes children out of it, or keeps there what others can be made of; null: each loads.
  std::shared_ptr<ChildTemplate> shared;
};

// A zygote's child. Destruction waits until it is gone.
class ZygoteChild final : public ReadyChild {
 public:
  // Forks a child, verifies it from outside, and makes it ready: from what others of its model
  // share, or by letting it load. A model that cannot be loaded, a limit or a violation is a
  // Failure; what keeps any child from being made, a Status: Aborted when what it has loaded is not
  // `model` as it was verified.
  static absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, inference::Failure>> Start(
      std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy,
      const LoadOrder& order, const models::Model& model, base::SteadyTime deadline,
      std::stop_token stop);
  ~ZygoteChild() override;

  std::variant<ExecutorAnswer, inference::Failure> Answer(
      const inference::InferenceRequest& request, base::SteadyTime since, base::SteadyTime deadline,
      std::stop_token stop, const inference::OnProgress& on_progress) override;
  bool rewindable() const override { return rewindable_; }
  absl::Status Rewind() override;
  void Kill() override;
  bool usable() const override;
  bool crashed() const override;
  int pid() const override { return process_->pid(); }
  std::uint32_t answered() const override { return answered_; }
  base::SteadyTime ready_since() const override { return ready_since_; }
  std::chrono::microseconds cpu_time() const override { return cpu_time_; }
  sandbox::ResourceUsage UsageOfAnswer() const override { return usage_; }
  std::vector<std::string> layers() const override { return process_->layers(); }
  std::vector<std::string> missing() const override { return process_->missing(); }

 private:
  ZygoteChild(std::shared_ptr<sandbox::Zygote> zygote,
              std::unique_ptr<sandbox::SandboxedProcess> process, models::MountedModel model,
              base::UniqueFd socket, const LoadOrder& order);

  // A child in its sandbox that waits for its first order. With `traced` it has a rewinder; with
  // `watched` it can be rewound, too.
  static absl::StatusOr<std::unique_ptr<ZygoteChild>> Begin(std::shared_ptr<sandbox::Zygote> zygote,
                                                            const sandbox::SandboxPolicy& policy,
                                                            const LoadOrder& order,
                                                            const models::Model& model, bool traced,
                                                            bool watched);
  // Makes it what another child was when it had loaded the model.
  absl::Status Become(const LoadOrder& order, std::shared_ptr<rewind::Snapshot> snapshot);
  // Lets it load. Nothing: it is ready.
  absl::StatusOr<std::optional<inference::Failure>> Load(const LoadOrder& order,
                                                         base::SteadyTime deadline,
                                                         const std::stop_token& stop);
  absl::Status TakeSnapshot(const LoadOrder& order, base::SteadyTime deadline,
                            const std::stop_token& stop);
  // Lets it answer once a request that is nobody's, so that a rewind gives the pages that requests
  // write back without a fault.
  absl::Status Learn(base::SteadyTime deadline, const std::stop_token& stop);
  // Generators of a child that is made from another, or rewound, stand where others stand, or
  // stood before the last request. Here, where nobody waits.
  absl::Status Seed();
  void BecomeReady();
  void LogReport(std::string_view what, const rewind::RewindReport& report) const;
  // The header of a frame that asks a request.
  std::string RunOrder(const inference::Payload& input, std::string_view accept,
                       std::string_view request_id, std::optional<std::uint64_t> seed) const;

  // What the child says to a frame: a report, and the bytes that it is about.
  struct Answered {
    ExecutorReport report;
    std::string body;
  };
  // The answer, or why there is none: kills the child in that case and reads its outcome. When it
  // is stopped, the child's end is not waited for.
  std::variant<Answered, inference::Failure> Exchange(std::string_view header,
                                                      std::string_view body, base::SteadyTime since,
                                                      base::SteadyTime deadline,
                                                      std::stop_token stop,
                                                      const inference::OnProgress& on_progress);
  // The first frame that is not about progress.
  absl::StatusOr<Answered> Listen(base::SteadyTime deadline,
                                  const inference::OnProgress& on_progress);
  inference::Failure WhyEnded(const absl::Status& why);

  const std::shared_ptr<sandbox::Zygote> zygote_;  // Outlives the process.
  const std::unique_ptr<sandbox::SandboxedProcess> process_;
  const models::MountedModel model_;
  Conversation conversation_;
  std::unique_ptr<rewind::Rewinder> rewinder_;  // Null: it is not traced.
  bool rewindable_ = false;
  const bool draws_numbers_;
  const std::uint64_t output_bytes_max_;
  std::uint32_t answered_ = 0;
  base::SteadyTime ready_since_;
  sandbox::ResourceUsage usage_;           // Of the last answer.
  std::chrono::microseconds cpu_time_{0};  // Up to then, the load included.
  bool dead_ = false;
  absl::StatusOr<sandbox::SandboxOutcome> outcome_;  // Written by the waiter before it ends.
  std::atomic<bool> ended_ = false;
  std::jthread waiter_;
};

}  // namespace ncn::executors
