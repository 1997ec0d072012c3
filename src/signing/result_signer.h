#pragma once

#include "absl/status/status.h"
#include "base/clock.h"
#include "inference/inference_request.h"
#include "inference/inference_response.h"
#include "signing/wallet.h"

namespace ncn::signing {

// Signs results in the node's name. Thread-safe.
class ResultSigner {
 public:
  // Both outlive the signer.
  ResultSigner(const Wallet& wallet, const base::Clock& clock) : wallet_(wallet), clock_(clock) {}

  // Fills response.signature: the plain signature and the attestation that `response` answers
  // `request`. A failure is left as it is. Internal when the record cannot be attested, such as a
  // model_hash that is no SHA-256; the signature is then left empty.
  absl::Status Sign(const inference::InferenceRequest& request,
                    inference::InferenceResponse& response) const;

 private:
  const Wallet& wallet_;
  const base::Clock& clock_;
};

}  // namespace ncn::signing
