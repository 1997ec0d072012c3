#include "reference/client_service.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/hex.h"
#include "base/status_macros.h"
#include "reference/node_authority.h"
#include "reference/task_stream.h"
#include "signing/payment.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

grpc::ServerUnaryReactor* Reply(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(wire::ToGrpc(status));
  return reactor;
}

v2::TaskState StateNumber(wire::TaskState state) {
  return static_cast<v2::TaskState>(static_cast<int>(state) + 1);
}

}  // namespace

ClientService::ClientService(const inference::RequestLimits& limits, Broker& broker,
                             Workers& workers)
    : limits_(limits), broker_(broker), workers_(workers) {}

grpc::ServerUnaryReactor* ClientService::SubmitInferenceTask(
    grpc::CallbackServerContext* context, const v2::SubmitInferenceTaskRequest* request,
    v2::SubmitInferenceTaskResponse* response) {
  // gRPC made the message for this call alone and drops it unread; moving saves a copy of the
  // payload.
  auto& message = const_cast<v2::SubmitInferenceTaskRequest&>(*request);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto submit = [this, &message, response]() -> absl::Status {
    v2::InferenceRequest& task = *message.mutable_request();
    if (task.request_id().empty()) task.set_request_id(base::HexEncode(RandomBytes()));
    ASSIGN_OR_RETURN(auto decoded, wire::Decode(std::move(task), limits_));
    response->set_request_id(decoded.id.value());
    ASSIGN_OR_RETURN(
        const wire::TaskState state,
        broker_.Submit(std::make_shared<const inference::InferenceRequest>(std::move(decoded))));
    response->set_state(StateNumber(state));
    return absl::OkStatus();
  };
  if (!workers_.Post([reactor, submit] { reactor->Finish(wire::ToGrpc(submit())); })) {
    reactor->Finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "the gateway is overloaded"});
  }
  return reactor;
}

grpc::ServerWriteReactor<v2::TaskUpdate>* ClientService::SubscribeToTaskUpdates(
    grpc::CallbackServerContext* /*context*/, const v2::SubscribeToTaskUpdatesRequest* request) {
  const std::shared_ptr<TaskStream> stream = TaskStream::Start(workers_);
  const absl::Status status = broker_.Subscribe(request->request_id(), stream);
  if (!status.ok()) stream->Close(wire::ToGrpc(status));
  return stream.get();
}

grpc::ServerUnaryReactor* ClientService::GetTaskStatus(grpc::CallbackServerContext* context,
                                                       const v2::GetTaskStatusRequest* request,
                                                       v2::TaskUpdate* response) {
  const auto update = broker_.Get(request->request_id());
  if (update.ok()) wire::Encode(*update, response);
  return Reply(context, update.status());
}

grpc::ServerUnaryReactor* ClientService::CancelTask(grpc::CallbackServerContext* context,
                                                    const v2::CancelTaskRequest* request,
                                                    v2::CancelTaskResponse* response) {
  const auto before = broker_.Cancel(request->request_id());
  if (before.ok()) response->set_state(StateNumber(*before));
  return Reply(context, before.status());
}

absl::Status ClientService::Confirm(const v2::ConfirmPaymentRequest& request) {
  const wire::SharedRequest task = broker_.Request(request.request_id());
  if (task == nullptr) return absl::NotFoundError("the request has ended, or was never here");
  inference::InferenceRequest paid{.id = task->id, .model = task->model};
  ASSIGN_OR_RETURN(paid.payment, wire::Decode(v2::PaymentProof(request.payment())));
  RETURN_IF_ERROR(signing::VerifyPayment(paid).status());
  return broker_.SetPayment(request.request_id(), *paid.payment);
}

grpc::ServerUnaryReactor* ClientService::ConfirmPayment(grpc::CallbackServerContext* context,
                                                        const v2::ConfirmPaymentRequest* request,
                                                        v2::ConfirmPaymentResponse* response) {
  const absl::Status status = Confirm(*request);
  response->set_accepted(status.ok());
  response->set_message(std::string(status.message()));
  return Reply(context, absl::IsNotFound(status) ? status : absl::OkStatus());
}

grpc::ServerUnaryReactor* ClientService::GetSupportedModels(
    grpc::CallbackServerContext* context, const v2::GetSupportedModelsRequest* /*request*/,
    v2::GetSupportedModelsResponse* response) {
  for (const SupportedModel& model : broker_.Models()) {
    v2::SupportedModel* entry = response->add_models();
    entry->set_model(model.model);
    entry->set_nodes(model.nodes);
    entry->set_free_credits(static_cast<std::uint32_t>(
        std::min<std::uint64_t>(model.free_credits, std::numeric_limits<std::uint32_t>::max())));
  }
  return Reply(context, absl::OkStatus());
}

}  // namespace ncn::reference
