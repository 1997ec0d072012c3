#pragma once

#include <memory>

#include "execution/execution.h"
#include "telemetry/execution_statistics.h"

namespace ncn::execution {

// Counts every execution with its duration and how it ended. Thread-safe.
class StatisticsExecution final : public Execution {
 public:
  StatisticsExecution(std::unique_ptr<Execution> next, telemetry::ExecutionStatistics& statistics,
                      const base::Clock& clock)
      : next_(std::move(next)), statistics_(statistics), clock_(clock) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  const std::unique_ptr<Execution> next_;
  telemetry::ExecutionStatistics& statistics_;
  const base::Clock& clock_;
};

}  // namespace ncn::execution
