#pragma once

#include <memory>

#include "execution/execution.h"
#include "signing/result_signer.h"

namespace ncn::execution {

// Signs every result. A result that cannot be signed becomes an INTERNAL failure: nothing unsigned
// leaves the node as a result. Thread-safe.
class SigningExecution final : public Execution {
 public:
  SigningExecution(std::unique_ptr<Execution> next, const signing::ResultSigner& signer,
                   const base::Clock& clock)
      : next_(std::move(next)), signer_(signer), clock_(clock) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const ExecutionContext& context) override;

 private:
  const std::unique_ptr<Execution> next_;
  const signing::ResultSigner& signer_;
  const base::Clock& clock_;
};

}  // namespace ncn::execution
