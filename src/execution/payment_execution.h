#pragma once

#include <memory>

#include "execution/execution.h"

namespace ncn::execution {

// Lets only requests through that carry a payment authorization which the payer's wallet signed for
// this very request (REQUIRE_PAYMENT). Whether the payer can pay is the settlement's business, not
// the node's. Thread-safe.
class PaymentExecution final : public Execution {
 public:
  explicit PaymentExecution(std::unique_ptr<Execution> next) : next_(std::move(next)) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  const std::unique_ptr<Execution> next_;
};

}  // namespace ncn::execution
