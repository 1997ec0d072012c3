#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ncn/v2/gateway_compute.grpc.pb.h"
#include "reference/broker.h"
#include "reference/node_authority.h"
#include "reference/node_session.h"
#include "reference/polling_nodes.h"
#include "reference/workers.h"

namespace ncn::reference {

// GatewayComputeService over a broker: the Session stream, and polling. ReceiveTask, which is
// polling once more as a stream, is left out and answers UNIMPLEMENTED.
class ComputeService final : public v2::GatewayComputeService::CallbackService {
 public:
  struct Options {
    std::size_t sessions_max = 1000;
    std::chrono::milliseconds heartbeat_interval{5000};
    std::chrono::milliseconds handshake_timeout{10000};
    std::uint64_t message_bytes_max = 0;
    std::string gateway_version;
    bool offer_session = true;  // False: answers UNIMPLEMENTED, as gateways without streams do.
    std::function<void(const std::string& address, const wire::NodeMessage&)> observer;
  };

  // The arguments outlive the service.
  ComputeService(const Options& options, Broker& broker, Workers& workers,
                 const base::Clock& clock);

  // Calls are refused as unavailable before, for the gateway's names may depend on its port.
  void Open(std::vector<std::string> names);
  void Tick();
  void SendDrain(std::chrono::milliseconds deadline);

  grpc::ServerBidiReactor<v2::NodeMessage, v2::GatewayMessage>* Session(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* RegisterComputeNode(grpc::CallbackServerContext* context,
                                                const v2::RegisterComputeNodeRequest* request,
                                                v2::RegisterComputeNodeResponse* response) override;
  grpc::ServerUnaryReactor* UpdateHeartbeat(grpc::CallbackServerContext* context,
                                            const v2::UpdateHeartbeatRequest* request,
                                            v2::UpdateHeartbeatResponse* response) override;
  grpc::ServerUnaryReactor* GetTask(grpc::CallbackServerContext* context,
                                    const v2::GetTaskRequest* request,
                                    v2::GetTaskResponse* response) override;
  grpc::ServerUnaryReactor* SubmitResult(grpc::CallbackServerContext* context,
                                         const v2::SubmitResultRequest* request,
                                         v2::SubmitResultResponse* response) override;

 private:
  std::vector<std::shared_ptr<NodeSessionCall>> Calls();

  const Options options_;
  Broker& broker_;
  Workers& workers_;
  const base::Clock& clock_;
  std::optional<NodeAuthority> authority_;  // Constant once open_.
  std::atomic<bool> open_ = false;
  PollingNodes polling_;

  std::mutex mutex_;
  std::vector<std::weak_ptr<NodeSessionCall>> calls_;
};

}  // namespace ncn::reference
