#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "grpcpp/support/server_callback.h"
#include "ncn/v2/gateway_client.grpc.pb.h"
#include "reference/broker.h"
#include "reference/workers.h"

namespace ncn::reference {

// One SubscribeToTaskUpdates call. Passes on the latest state, and the final answer; a client that
// reads slowly misses states in between. Owns itself until the call has ended.
class TaskStream final : public grpc::ServerWriteReactor<v2::TaskUpdate>,
                         public TaskSubscriber,
                         public std::enable_shared_from_this<TaskStream> {
 public:
  static std::shared_ptr<TaskStream> Start(Workers& workers);

  void OnUpdate(wire::TaskUpdate update) override;
  void Close(const grpc::Status& status);

 private:
  explicit TaskStream(Workers& workers) : workers_(workers) {}

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void PostPump();
  void Pump();
  void CloseLocked(const grpc::Status& status);

  Workers& workers_;

  std::mutex mutex_;
  std::shared_ptr<TaskStream> self_;  // While the call lives.
  std::optional<wire::TaskUpdate> next_;
  v2::TaskUpdate encoded_;  // gRPC's while writing_.
  bool final_sent_ = false;
  bool writing_ = false;
  bool pumping_ = false;
  bool closed_ = false;
};

}  // namespace ncn::reference
