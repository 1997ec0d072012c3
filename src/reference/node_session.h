#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <variant>

#include "base/clock.h"
#include "grpcpp/support/server_callback.h"
#include "ncn/v2/gateway_compute.grpc.pb.h"
#include "reference/broker.h"
#include "reference/node_authority.h"
#include "reference/workers.h"
#include "wire/session_messages.h"

namespace ncn::reference {

// The gateway's end of one Session call: proves the node, then passes what it says to the broker
// and what the broker says to it. Owns itself until the call has ended; others hold it weakly.
// gRPC's reactions only move messages; the workers handle them, one at a time for each session.
class NodeSessionCall final : public grpc::ServerBidiReactor<v2::NodeMessage, v2::GatewayMessage>,
                              public NodeLink,
                              public std::enable_shared_from_this<NodeSessionCall> {
 public:
  // What outlives every call.
  struct Environment {
    Broker& broker;
    Workers& workers;
    const NodeAuthority& authority;
    const base::Clock& clock;
    std::chrono::milliseconds heartbeat_interval;
    std::chrono::milliseconds handshake_timeout;
    std::uint64_t message_bytes_max;
    std::string gateway_version;
    std::function<void(const std::string& address, const wire::NodeMessage&)> observer;
  };

  static std::shared_ptr<NodeSessionCall> Start(const Environment& environment,
                                                std::string authority);

  void SendRequest(wire::SharedRequest request) override;
  void SendCancel(const std::string& request_id, const std::string& reason) override;
  void Replace() override;

  // Tells the node that the gateway is about to close.
  void SendDrain(std::chrono::milliseconds deadline);
  // Ends the call if the node has been silent for too long.
  void CheckAlive();
  // Ends the call.
  void Close(const grpc::Status& status);

 private:
  NodeSessionCall(const Environment& environment, std::string authority);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void HandleIncoming();
  absl::Status Handle(wire::NodeMessage message);
  absl::Status HandleHello(const wire::Hello& hello, std::uint64_t credits);
  void Send(wire::GatewayMessage message);
  void Hold(wire::GatewayMessage message);
  void Pump();
  void PostPump();
  void CloseLocked(const grpc::Status& status);

  const Environment environment_;
  const std::string authority_;  // By which the node reached this gateway.
  const wire::Challenge challenge_;
  v2::NodeMessage incoming_;  // gRPC's while a read is under way, else the worker's.

  // Of the worker that handles the session's present message.
  std::string address_;           // Proven; empty before.
  Broker::NodeKey attached_ = 0;  // 0 before.

  std::mutex mutex_;
  std::shared_ptr<NodeSessionCall> self_;  // While the call lives.
  Broker::NodeKey node_ = 0;               // For OnDone to detach; 0: nothing to.
  std::deque<wire::GatewayMessage> outgoing_;
  v2::GatewayMessage encoded_;  // gRPC's while writing_.
  bool writing_ = false;
  bool pumping_ = false;
  bool held_ = false;
  bool closed_ = false;
  base::SteadyTime heard_at_;
};

}  // namespace ncn::reference
