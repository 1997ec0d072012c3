#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "grpcpp/support/server_callback.h"
#include "ncn/v2/gateway_compute.pb.h"
#include "reference/broker.h"
#include "reference/node_authority.h"
#include "reference/workers.h"

namespace ncn::reference {

class PollingNode;

// The nodes that poll instead of holding a session. A call of GetTask that waits is their credit.
// Thread-safe.
class PollingNodes {
 public:
  struct Options {
    std::size_t nodes_max = 1000;
    std::chrono::milliseconds heartbeat_interval{5000};
    std::chrono::milliseconds silence_max{30000};  // Then a node is forgotten.
  };

  // The arguments outlive this.
  PollingNodes(const Options& options, Broker& broker, Workers& workers, const base::Clock& clock);
  ~PollingNodes();

  absl::Status Register(const NodeAuthority& authority, const std::string& name,
                        const v2::RegisterComputeNodeRequest& request,
                        v2::RegisterComputeNodeResponse* response);
  absl::Status Heartbeat(const v2::UpdateHeartbeatRequest& request,
                         v2::UpdateHeartbeatResponse* response);
  grpc::ServerUnaryReactor* GetTask(const v2::GetTaskRequest& request,
                                    v2::GetTaskResponse* response);
  // Verifies; not for gRPC's threads.
  absl::Status SubmitResult(v2::SubmitResultRequest&& request, v2::SubmitResultResponse* response);

  // Ends waits and forgets the silent.
  void Tick();

 private:
  // Null when the token is not known (any more).
  std::shared_ptr<PollingNode> Find(const std::string& token);

  const Options options_;
  Broker& broker_;
  Workers& workers_;
  const base::Clock& clock_;

  std::mutex mutex_;
  std::map<std::string, base::SteadyTime> nonces_;             // Given out, not used yet.
  std::map<std::string, std::shared_ptr<PollingNode>> nodes_;  // By token.
};

}  // namespace ncn::reference
