#include "reference/client.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "ncn/v2/gateway_client.grpc.pb.h"
#include "signing/result_signature.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kCallTimeout{10000};
constexpr std::chrono::milliseconds kRetryInterval{200};
// A gateway that was never heard of may be slow to accept; it is not waited for much longer.
constexpr std::chrono::milliseconds kFirstPatience{1000};

void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds timeout) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

// A gateway that shuts down cancels what is under way; this client never cancels what it waits for.
bool GatewayIsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status);
}

// Waits, unless a stop is requested.
void Pause(std::chrono::milliseconds duration, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
}

}  // namespace

class GatewayClient::Connection {
 public:
  Connection(std::string address, const Options& options, std::shared_ptr<grpc::Channel> channel)
      : address_(std::move(address)),
        options_(options),
        channel_(std::move(channel)),
        stub_(v2::GatewayClientService::NewStub(channel_)) {}

  // Whether, after a failed call, there was nobody to talk to; otherwise the talk broke off.
  bool NobodyThere() const {
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/false);
    return state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_CONNECTING;
  }

  absl::Status Submit(const inference::InferenceRequest& request) {
    v2::SubmitInferenceTaskRequest message;
    wire::Encode(request, message.mutable_request());
    v2::SubmitInferenceTaskResponse response;
    grpc::ClientContext context;
    return wire::FromGrpc(stub_->SubmitInferenceTask(&context, message, &response));
  }

  // Follows a task to its final answer, which is null when the stream ends without one.
  absl::StatusOr<wire::SharedResponse> Follow(
      const std::string& request_id,
      const std::function<void(const wire::TaskUpdate&)>& on_update) {
    v2::SubscribeToTaskUpdatesRequest message;
    message.set_request_id(request_id);
    grpc::ClientContext context;
    const auto reader = stub_->SubscribeToTaskUpdates(&context, message);
    v2::TaskUpdate update;
    wire::SharedResponse response;
    absl::Status malformed;
    while (response == nullptr && reader->Read(&update)) {
      auto decoded = wire::Decode(std::move(update));
      if (!decoded.ok()) {
        malformed = absl::DataLossError(decoded.status().message());
        break;
      }
      response = decoded->response;
      if (on_update) on_update(*decoded);
    }
    if (response != nullptr || !malformed.ok()) context.TryCancel();
    const absl::Status status = wire::FromGrpc(reader->Finish());
    if (response != nullptr) return response;
    if (!malformed.ok()) return malformed;
    if (!status.ok()) return status;
    return absl::UnavailableError("the gateway ended the subscription without an answer");
  }

  void Cancel(const std::string& request_id) {
    v2::CancelTaskRequest message;
    message.set_request_id(request_id);
    v2::CancelTaskResponse response;
    grpc::ClientContext context;
    SetDeadline(context, kCallTimeout);
    // A gateway that does not hear of it answers all the same; there is nothing else to do.
    stub_->CancelTask(&context, message, &response);
  }

  absl::StatusOr<std::vector<SupportedModel>> ListModels() {
    v2::GetSupportedModelsResponse response;
    grpc::ClientContext context;
    SetDeadline(context, kCallTimeout);
    RETURN_IF_ERROR(Explain(wire::FromGrpc(
        stub_->GetSupportedModels(&context, v2::GetSupportedModelsRequest(), &response))));
    std::vector<SupportedModel> models;
    for (const v2::SupportedModel& model : response.models()) {
      models.push_back({model.model(), model.nodes(), model.free_credits()});
    }
    return models;
  }

  // An error as the operator should see it.
  absl::Status Explain(const absl::Status& status) const {
    if (!GatewayIsAway(status) && !absl::IsDeadlineExceeded(status)) return status;
    return absl::UnavailableError(base::StrCat("Failed to connect to Gateway at ", address_));
  }

  const Options& options() const { return options_; }

 private:
  const std::string address_;
  const Options options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v2::GatewayClientService::Stub> stub_;
};

absl::StatusOr<std::unique_ptr<GatewayClient>> GatewayClient::Make(std::string_view gateway_address,
                                                                   const Options& options) {
  ASSIGN_OR_RETURN(auto channel, wire::MakeChannel(gateway_address, options.connection));
  return std::unique_ptr<GatewayClient>(new GatewayClient(
      std::make_unique<Connection>(std::string(gateway_address), options, std::move(channel))));
}

GatewayClient::GatewayClient(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)) {}
GatewayClient::~GatewayClient() = default;

absl::StatusOr<GatewayClient::Answer> GatewayClient::Infer(
    const inference::InferenceRequest& request, std::stop_token stop,
    const std::function<void(const wire::TaskUpdate&)>& on_update) {
  const Options& options = connection_->options();
  RETURN_IF_ERROR(
      inference::Validate(request, {.input_bytes_max = options.connection.payload_bytes_max}));
  const std::stop_callback cancel(stop, [&] { connection_->Cancel(request.id.value()); });
  auto heard_at = steady_clock::now();
  bool submitted = false;
  wire::SharedResponse response;
  while (response == nullptr) {
    absl::Status status = connection_->Submit(request);
    if (status.ok()) {
      submitted = true;
      heard_at = steady_clock::now();
      // A stop request that came before the gateway knew the task has cancelled nothing.
      if (stop.stop_requested()) connection_->Cancel(request.id.value());
      auto followed = connection_->Follow(request.id.value(), on_update);
      status = followed.status();
      if (followed.ok()) response = *std::move(followed);
    }
    if (status.ok()) continue;
    // A gateway that restarted does not know the task any more: hand it in again.
    // A request that broke off may or may not have arrived; its id makes it safe to repeat.
    submitted |= GatewayIsAway(status) && !connection_->NobodyThere();
    const bool again = GatewayIsAway(status) || (submitted && absl::IsNotFound(status));
    const auto patience = submitted ? options.patience : std::min(options.patience, kFirstPatience);
    const bool patient = !stop.stop_requested() && steady_clock::now() - heard_at < patience;
    if (!again || !patient) return connection_->Explain(status);
    Pause(kRetryInterval, stop);
  }
  if (!response->ok()) return Answer{.response = std::move(response)};
  const auto signer = signing::VerifyResponseTo(request, *response);
  if (!signer.ok()) {
    return absl::DataLossError(
        base::StrCat("the result does not verify: ", base::ToStd(signer.status().message())));
  }
  return Answer{.response = std::move(response), .signer = signer->ToString()};
}

absl::StatusOr<std::vector<SupportedModel>> GatewayClient::ListModels() {
  return connection_->ListModels();
}

}  // namespace ncn::reference
