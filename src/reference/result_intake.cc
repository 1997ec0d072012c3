#include "reference/result_intake.h"

#include "base/strings.h"
#include "signing/result_signature.h"

namespace ncn::reference {

wire::ResultAck TakeResponse(Broker& broker, Broker::NodeKey key, const std::string& address,
                             const wire::SharedResponse& response) {
  const std::string& id = response->request_id.value();
  if (response->ok()) {
    const wire::SharedRequest request = broker.Request(id);
    const auto signer = request != nullptr ? signing::VerifyResponseTo(*request, *response)
                                           : signing::VerifyResponse(*response);
    std::string why;
    if (!signer.ok()) {
      why = std::string(base::ToStd(signer.status().message()));
    } else if (signer->ToString() != address) {
      why = base::StrCat("it was signed by ", signer->ToString(), ", not by the session's node");
    }
    if (!why.empty()) {
      broker.Distrust(key, id, why);
      return {id, wire::AckVerdict::kRefused, why};
    }
  }
  return {id, broker.Complete(key, response), ""};
}

}  // namespace ncn::reference
