#pragma once

#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/limits.h"
#include "wire/session_messages.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace ncn::node {

// The node's end of one Session call. Holds at most one message that has arrived and one that is on
// its way out; HTTP/2's flow control holds back the rest. One thread may read while another writes;
// Cancel may be called by any.
class SessionStream {
 public:
  static std::unique_ptr<SessionStream> Open(std::shared_ptr<grpc::Channel> channel,
                                             const inference::RequestLimits& limits);
  virtual ~SessionStream() = default;

  // Waits for the next message. When the call is over: its status, or Unavailable when the gateway
  // ended it without an error. DeadlineExceeded when nothing came in time. InvalidArgument for a
  // message that breaks the protocol.
  virtual absl::StatusOr<wire::GatewayMessage> Read(std::chrono::milliseconds timeout) = 0;
  // The same without a time limit.
  virtual absl::StatusOr<wire::GatewayMessage> Read() = 0;
  // Hands a message to the transport once the one before has left. False when the call is over.
  virtual bool Write(const wire::NodeMessage& message) = 0;
  // Nothing more will be written. Waits for the message before.
  virtual void HalfClose() = 0;
  // Ends the call at once.
  virtual void Cancel() = 0;
};

}  // namespace ncn::node
