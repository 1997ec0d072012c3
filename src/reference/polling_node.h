#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "grpcpp/support/server_callback.h"
#include "ncn/v2/gateway_compute.pb.h"
#include "reference/broker.h"
#include "reference/workers.h"

namespace ncn::reference {

class PollingNode;

// A GetTask call. Is finished exactly once, by whoever takes it out of its node.
class GetTaskCall final : public grpc::ServerUnaryReactor {
 public:
  explicit GetTaskCall(v2::GetTaskResponse* response) : response_(response) {}
  void FinishWith(const wire::SharedRequest& request);  // Null: none came in time.
  void FinishWith(const grpc::Status& status) { Finish(status); }
  void WaitAt(std::weak_ptr<PollingNode> node) { node_ = std::move(node); }

 private:
  void OnCancel() override;
  void OnDone() override { delete this; }

  v2::GetTaskResponse* const response_;
  std::weak_ptr<PollingNode> node_;
};

// One node that polls. Thread-safe.
class PollingNode final : public NodeLink, public std::enable_shared_from_this<PollingNode> {
 public:
  PollingNode(std::string address, Broker& broker, Workers& workers, const base::Clock& clock);

  void SendRequest(wire::SharedRequest request) override;
  void SendCancel(const std::string& request_id, const std::string& reason) override;
  void Replace() override;

  // Tells the broker of the node.
  void Attach(wire::NodeInfo info);
  void Hear();
  // Answers `call` now or later.
  void Wait(GetTaskCall* call, base::SteadyTime until);
  // Ends a wait whose time is over.
  void EndWait(base::SteadyTime now);
  // The node has ended the call itself.
  void GiveUp(GetTaskCall* call);
  // The node is gone; tells the broker and ends what waits.
  void Forget();
  std::vector<std::string> TakeCancelled();

  const std::string& address() const { return address_; }
  Broker::NodeKey key() const;
  // Whether it has connected anew, or has been silent for longer than that.
  bool IsGone(std::chrono::milliseconds silence_max) const;

 private:
  void Deliver();

  const std::string address_;
  Broker& broker_;
  Workers& workers_;
  const base::Clock& clock_;

  mutable std::mutex mutex_;
  Broker::NodeKey key_ = 0;
  std::uint64_t credits_ = 0;
  std::deque<wire::SharedRequest> requests_;  // Dispatched, not fetched yet.
  std::vector<std::string> cancelled_;
  GetTaskCall* waiting_ = nullptr;
  base::SteadyTime wait_until_;
  base::SteadyTime heard_at_;
  bool replaced_ = false;
};

}  // namespace ncn::reference
