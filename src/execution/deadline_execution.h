#pragma once

#include <chrono>
#include <memory>

#include "execution/execution.h"

namespace ncn::execution {

// Gives each request its deadline: now plus its own time-out, or the node's when it has none or
// asks for more. Whatever waits or runs below keeps to it. Thread-safe.
class DeadlineExecution final : public Execution {
 public:
  DeadlineExecution(std::unique_ptr<Execution> next, std::chrono::milliseconds timeout_max,
                    const base::Clock& clock)
      : next_(std::move(next)), timeout_max_(timeout_max), clock_(clock) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  const std::unique_ptr<Execution> next_;
  const std::chrono::milliseconds timeout_max_;
  const base::Clock& clock_;
};

}  // namespace ncn::execution
