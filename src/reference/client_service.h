#pragma once

#include "inference/limits.h"
#include "ncn/v2/gateway_client.grpc.pb.h"
#include "reference/broker.h"
#include "reference/workers.h"

namespace ncn::reference {

// GatewayClientService over a broker.
//
// Whoever knows a request's id can ask for its answer and cancel it; ids that the gateway chooses
// are random, and clients that care choose theirs so.
class ClientService final : public v2::GatewayClientService::CallbackService {
 public:
  // The arguments outlive the service.
  ClientService(const inference::RequestLimits& limits, Broker& broker, Workers& workers);

  grpc::ServerUnaryReactor* SubmitInferenceTask(grpc::CallbackServerContext* context,
                                                const v2::SubmitInferenceTaskRequest* request,
                                                v2::SubmitInferenceTaskResponse* response) override;
  grpc::ServerWriteReactor<v2::TaskUpdate>* SubscribeToTaskUpdates(
      grpc::CallbackServerContext* context,
      const v2::SubscribeToTaskUpdatesRequest* request) override;
  grpc::ServerUnaryReactor* GetTaskStatus(grpc::CallbackServerContext* context,
                                          const v2::GetTaskStatusRequest* request,
                                          v2::TaskUpdate* response) override;
  grpc::ServerUnaryReactor* CancelTask(grpc::CallbackServerContext* context,
                                       const v2::CancelTaskRequest* request,
                                       v2::CancelTaskResponse* response) override;
  grpc::ServerUnaryReactor* ConfirmPayment(grpc::CallbackServerContext* context,
                                           const v2::ConfirmPaymentRequest* request,
                                           v2::ConfirmPaymentResponse* response) override;
  grpc::ServerUnaryReactor* GetSupportedModels(grpc::CallbackServerContext* context,
                                               const v2::GetSupportedModelsRequest* request,
                                               v2::GetSupportedModelsResponse* response) override;

 private:
  absl::Status Confirm(const v2::ConfirmPaymentRequest& request);

  const inference::RequestLimits limits_;
  Broker& broker_;
  Workers& workers_;
};

}  // namespace ncn::reference
