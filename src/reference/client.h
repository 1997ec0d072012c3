#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/inference_request.h"
#include "reference/broker.h"
#include "wire/channel.h"
#include "wire/task_update.h"

namespace ncn::reference {

// A client of a gateway: hands in requests, follows them, and believes no result that does not
// verify. Thread-safe.
class GatewayClient {
 public:
  struct Options {
    wire::ConnectionOptions connection;
    // How long to go on asking while the gateway does not answer, from the last time it did.
    std::chrono::milliseconds patience{30000};
  };
  struct Answer {
    wire::SharedResponse response;  // A verified result, or a failure.
    std::string signer;             // EIP-55 address that signed the result; empty for a failure.
  };

  // Errors of wire::MakeChannel.
  static absl::StatusOr<std::unique_ptr<GatewayClient>> Make(std::string_view gateway_address,
                                                             const Options& options);
  ~GatewayClient();

  // Hands in `request` and waits for its final answer. `on_update` hears each change of state
  // before that. A stop request cancels the task; its answer is then mostly a failure CANCELLED.
  // When the gateway goes away, asks again under the same id, which never executes a request twice.
  // Errors: Unavailable when the gateway cannot be reached ("Failed to connect to Gateway at …");
  // DataLoss when the result does not verify; InvalidArgument, ResourceExhausted or AlreadyExists
  // when the gateway refuses the request.
  absl::StatusOr<Answer> Infer(const inference::InferenceRequest& request,
                               std::stop_token stop = {},
                               const std::function<void(const wire::TaskUpdate&)>& on_update = {});

  // The models that nodes of the gateway execute now.
  absl::StatusOr<std::vector<SupportedModel>> ListModels();

 private:
  class Connection;
  explicit GatewayClient(std::unique_ptr<Connection> connection);

  std::unique_ptr<Connection> connection_;
};

}  // namespace ncn::reference
