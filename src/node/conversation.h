#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/model_id.h"
#include "inference/progress.h"
#include "node/outbox.h"
#include "node/session_options.h"
#include "node/workload.h"
#include "wire/session_messages.h"

namespace ncn::node {

// One connection's talk with a gateway, from the challenge to the end. Two ways to talk exist: the
// Session stream, and polling with single calls for gateways without it.
//
// Handshake, Run and the destructor belong to one thread; everything else may be called by any.
class Conversation {
 public:
  // What outlives every conversation.
  struct Environment {
    const SessionOptions& options;
    Workload& workload;
    Outbox& outbox;
    std::function<wire::NodeInfo()> describe;  // Complete, with state and the workload's figures.
    std::function<wire::NodeState()> state;
    std::function<void()> acknowledged;  // To be called when an answer has left the outbox.
    SignChallenge sign;
  };

  virtual ~Conversation() = default;

  // Proves the wallet and registers. Errors: the gateway's, or why it could not be reached.
  virtual absl::Status Handshake() = 0;
  // After Handshake: talks until the connection ends, and returns why it did.
  virtual absl::Status Run() = 0;

  // A worker has begun with a request.
  virtual void NotifyStarted(const inference::RequestId& id) = 0;
  // An executor says how far it is. May be dropped.
  virtual void NotifyProgress(const inference::RequestId& id,
                              const inference::Progress& progress) = 0;
  // An answer has come into the outbox.
  virtual void NotifyFinished(const inference::RequestId& id) = 0;
  // NodeInfo has changed; tell it soon.
  virtual void NotifyChanged() = 0;
  // These requests will not be executed here.
  virtual void HandBack(const std::vector<std::string>& request_ids) = 0;
  // Says goodbye after what is still to be sent, and lets the gateway end the connection.
  virtual void Leave(wire::Goodbye goodbye) = 0;
  // Ends the connection at once; Run and Handshake return.
  virtual void Abort() = 0;
};

}  // namespace ncn::node
