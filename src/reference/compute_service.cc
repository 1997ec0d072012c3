#include "reference/compute_service.h"

#include <utility>

#include "wire/channel.h"

namespace ncn::reference {
namespace {

// A Session call that ends at once.
class Refusal final : public grpc::ServerBidiReactor<v2::NodeMessage, v2::GatewayMessage> {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

grpc::ServerUnaryReactor* Reply(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(wire::ToGrpc(status));
  return reactor;
}

}  // namespace

ComputeService::ComputeService(const Options& options, Broker& broker, Workers& workers,
                               const base::Clock& clock)
    : options_(options),
      broker_(broker),
      workers_(workers),
      clock_(clock),
      polling_({.nodes_max = options.sessions_max,
                .heartbeat_interval = options.heartbeat_interval,
                .silence_max = options.heartbeat_interval * 4 + options.handshake_timeout},
               broker, workers, clock) {}

void ComputeService::Open(std::vector<std::string> names) {
  authority_.emplace(std::move(names));
  open_ = true;
}

grpc::ServerBidiReactor<v2::NodeMessage, v2::GatewayMessage>* ComputeService::Session(
    grpc::CallbackServerContext* context) {
  if (!options_.offer_session)
    return new Refusal({grpc::StatusCode::UNIMPLEMENTED, "polling only"});
  if (!open_) return new Refusal({grpc::StatusCode::UNAVAILABLE, "the gateway is starting"});
  if (Calls().size() >= options_.sessions_max) {
    return new Refusal({grpc::StatusCode::RESOURCE_EXHAUSTED, "the gateway has too many nodes"});
  }
  const grpc::string_ref authority = context->ExperimentalGetAuthority();
  const NodeSessionCall::Environment environment{.broker = broker_,
                                                 .workers = workers_,
                                                 .authority = *authority_,
                                                 .clock = clock_,
                                                 .heartbeat_interval = options_.heartbeat_interval,
                                                 .handshake_timeout = options_.handshake_timeout,
                                                 .message_bytes_max = options_.message_bytes_max,
                                                 .gateway_version = options_.gateway_version,
                                                 .observer = options_.observer};
  std::shared_ptr<NodeSessionCall> call =
      NodeSessionCall::Start(environment, {authority.data(), authority.size()});
  std::lock_guard lock(mutex_);
  calls_.push_back(call);
  return call.get();
}

void ComputeService::Tick() {
  for (const std::shared_ptr<NodeSessionCall>& call : Calls()) call->CheckAlive();
  polling_.Tick();
}

void ComputeService::SendDrain(std::chrono::milliseconds deadline) {
  for (const std::shared_ptr<NodeSessionCall>& call : Calls()) call->SendDrain(deadline);
}

grpc::ServerUnaryReactor* ComputeService::RegisterComputeNode(
    grpc::CallbackServerContext* context, const v2::RegisterComputeNodeRequest* request,
    v2::RegisterComputeNodeResponse* response) {
  const grpc::string_ref authority = context->ExperimentalGetAuthority();
  const absl::Status status =
      open_
          ? polling_.Register(*authority_, {authority.data(), authority.size()}, *request, response)
          : absl::UnavailableError("the gateway is starting");
  return Reply(context, status);
}

grpc::ServerUnaryReactor* ComputeService::UpdateHeartbeat(grpc::CallbackServerContext* context,
                                                          const v2::UpdateHeartbeatRequest* request,
                                                          v2::UpdateHeartbeatResponse* response) {
  return Reply(context, polling_.Heartbeat(*request, response));
}

grpc::ServerUnaryReactor* ComputeService::GetTask(grpc::CallbackServerContext* /*context*/,
                                                  const v2::GetTaskRequest* request,
                                                  v2::GetTaskResponse* response) {
  return polling_.GetTask(*request, response);
}

grpc::ServerUnaryReactor* ComputeService::SubmitResult(grpc::CallbackServerContext* context,
                                                       const v2::SubmitResultRequest* request,
                                                       v2::SubmitResultResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // gRPC made the message for this call alone and drops it unread; moving saves a copy of the
  // payload.
  auto* message = const_cast<v2::SubmitResultRequest*>(request);
  const bool posted = workers_.Post([this, reactor, message, response] {
    reactor->Finish(wire::ToGrpc(polling_.SubmitResult(std::move(*message), response)));
  });
  if (!posted) reactor->Finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "the gateway is overloaded"});
  return reactor;
}

std::vector<std::shared_ptr<NodeSessionCall>> ComputeService::Calls() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<NodeSessionCall>> alive;
  std::erase_if(calls_, [&](const std::weak_ptr<NodeSessionCall>& weak) {
    std::shared_ptr<NodeSessionCall> call = weak.lock();
    if (call == nullptr) return true;
    alive.push_back(std::move(call));
    return false;
  });
  return alive;
}

}  // namespace ncn::reference
