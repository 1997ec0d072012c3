#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "ncn/v2/node_control.grpc.pb.h"
#include "node/control.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn::node {
namespace {

constexpr std::chrono::seconds kCallTimeout{10};
constexpr int kMessageBytesMax = 64 << 20;

class GrpcControlClient final : public ControlClient {
 public:
  explicit GrpcControlClient(const std::filesystem::path& socket_path)
      : socket_path_(socket_path), stub_(v2::NodeControlService::NewStub(Channel(socket_path))) {}

  absl::StatusOr<StatisticsReport> GetStatistics() override {
    v2::GetStatisticsResponse response;
    RETURN_IF_ERROR(
        Call(&v2::NodeControlService::Stub::GetStatistics, v2::GetStatisticsRequest(), &response));
    const v2::StatisticsSummary& totals = response.totals();
    return StatisticsReport{.json = std::move(*response.mutable_json()),
                            .totals = {.executions_total = totals.executions_total(),
                                       .executions_successful = totals.executions_successful(),
                                       .executions_failed = totals.executions_failed(),
                                       .average_time_us = totals.average_time_us()}};
  }

  absl::StatusOr<NodeReport> GetNodeInfo() override {
    v2::GetNodeInfoResponse response;
    RETURN_IF_ERROR(
        Call(&v2::NodeControlService::Stub::GetNodeInfo, v2::GetNodeInfoRequest(), &response));
    ASSIGN_OR_RETURN(wire::NodeInfo info, wire::Decode(std::move(*response.mutable_info())));
    return NodeReport{.info = std::move(info),
                      .gateway_address = response.gateway_address(),
                      .connected = response.connected(),
                      .last_error = response.last_error(),
                      .reconnects = response.reconnects(),
                      .results_pending = response.results_pending()};
  }

  absl::StatusOr<std::vector<ModelReport>> ListModels() override {
    v2::ListModelsResponse response;
    RETURN_IF_ERROR(
        Call(&v2::NodeControlService::Stub::ListModels, v2::ListModelsRequest(), &response));
    std::vector<ModelReport> models;
    for (v2::LocalModel& model : *response.mutable_models()) {
      models.push_back({.model = std::move(*model.mutable_model()),
                        .format = std::move(*model.mutable_format()),
                        .size_bytes = model.size_bytes(),
                        .sha256 = std::move(*model.mutable_sha256()),
                        .problems = {model.problems().begin(), model.problems().end()},
                        .state = std::move(*model.mutable_state()),
                        .ready = model.ready(),
                        .loading = model.loading(),
                        .busy = model.busy(),
                        .memory_bytes = model.memory_bytes(),
                        .reason = std::move(*model.mutable_reason()),
                        .retry_after_ms = model.retry_after_ms(),
                        .loading_for_ms = model.loading_for_ms(),
                        .load_time_ms = model.load_time_ms(),
                        .version = std::move(*model.mutable_version()),
                        .pinned = model.pinned(),
                        .isolation = std::move(*model.mutable_isolation())});
    }
    return models;
  }

 private:
  static std::shared_ptr<grpc::Channel> Channel(const std::filesystem::path& socket_path) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(base::StrCat("unix:", socket_path.native()),
                                     grpc::InsecureChannelCredentials(), arguments);
  }

  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    absl::Status status = wire::FromGrpc((stub_.get()->*method)(&context, request, response));
    if (!absl::IsUnavailable(status)) return status;
    return absl::NotFoundError(
        base::StrCat("no node listens on ", socket_path_.native(), "; is compute_node running?"));
  }

  const std::filesystem::path socket_path_;
  const std::unique_ptr<v2::NodeControlService::Stub> stub_;
};

}  // namespace

std::unique_ptr<ControlClient> ControlClient::Make(const std::filesystem::path& socket_path) {
  return std::make_unique<GrpcControlClient>(socket_path);
}

}  // namespace ncn::node
