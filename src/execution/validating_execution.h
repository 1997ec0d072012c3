#pragma once

#include <memory>

#include "execution/execution.h"
#include "inference/limits.h"

namespace ncn::execution {

// Ends requests that break the node's limits before they cost anything. Thread-safe.
class ValidatingExecution final : public Execution {
 public:
  ValidatingExecution(std::unique_ptr<Execution> next, inference::RequestLimits limits)
      : next_(std::move(next)), limits_(limits) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  const std::unique_ptr<Execution> next_;
  const inference::RequestLimits limits_;
};

}  // namespace ncn::execution
