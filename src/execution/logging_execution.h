#pragma once

#include <memory>

#include "base/clock.h"
#include "execution/execution.h"

namespace ncn::execution {

// Names the request on every log line of its way, and logs how it ended. Thread-safe.
class LoggingExecution final : public Execution {
 public:
  LoggingExecution(std::unique_ptr<Execution> next, const base::Clock& clock)
      : next_(std::move(next)), clock_(clock) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  const std::unique_ptr<Execution> next_;
  const base::Clock& clock_;
};

}  // namespace ncn::execution
