#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"
#include "ncn/v2/node_control.grpc.pb.h"
#include "node/control.h"
#include "wire/codec.h"
#include "wire/text.h"

namespace ncn::node {
namespace {

constexpr std::size_t kJsonBytesMax = 16 << 20;

grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

class Service final : public v2::NodeControlService::CallbackService {
 public:
  explicit Service(ControlSources sources) : sources_(std::move(sources)) {}

  grpc::ServerUnaryReactor* GetStatistics(grpc::CallbackServerContext* context,
                                          const v2::GetStatisticsRequest* /*request*/,
                                          v2::GetStatisticsResponse* response) override {
    const StatisticsReport report = sources_.statistics();
    response->set_json(wire::CleanText(report.json, kJsonBytesMax));
    v2::StatisticsSummary* totals = response->mutable_totals();
    totals->set_executions_total(report.totals.executions_total);
    totals->set_executions_successful(report.totals.executions_successful);
    totals->set_executions_failed(report.totals.executions_failed);
    totals->set_average_time_us(report.totals.average_time_us);
    return Done(context);
  }

  grpc::ServerUnaryReactor* GetNodeInfo(grpc::CallbackServerContext* context,
                                        const v2::GetNodeInfoRequest* /*request*/,
                                        v2::GetNodeInfoResponse* response) override {
    const NodeReport report = sources_.node();
    wire::Encode(report.info, response->mutable_info());
    response->set_gateway_address(wire::CleanText(report.gateway_address, wire::kTextBytesMax));
    response->set_connected(report.connected);
    response->set_last_error(wire::CleanText(report.last_error, wire::kTextBytesMax));
    response->set_reconnects(report.reconnects);
    response->set_results_pending(report.results_pending);
    return Done(context);
  }

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v2::ListModelsRequest* /*request*/,
                                       v2::ListModelsResponse* response) override {
    for (const ModelReport& report : sources_.models()) {
      v2::LocalModel* model = response->add_models();
      model->set_model(wire::CleanText(report.model, wire::kTextBytesMax));
      model->set_format(wire::CleanText(report.format, wire::kNameBytesMax));
      model->set_size_bytes(report.size_bytes);
      model->set_sha256(wire::CleanText(report.sha256, wire::kNameBytesMax));
      model->set_state(wire::CleanText(report.state, wire::kNameBytesMax));
      model->set_ready(report.ready);
      model->set_loading(report.loading);
      model->set_busy(report.busy);
      model->set_memory_bytes(report.memory_bytes);
      model->set_reason(wire::CleanText(report.reason, wire::kTextBytesMax));
      model->set_retry_after_ms(report.retry_after_ms);
      model->set_loading_for_ms(report.loading_for_ms);
      model->set_load_time_ms(report.load_time_ms);
      model->set_version(wire::CleanText(report.version, wire::kNameBytesMax));
      model->set_pinned(report.pinned);
      model->set_isolation(wire::CleanText(report.isolation, wire::kNameBytesMax));
      for (const std::string& problem : report.problems) {
        model->add_problems(wire::CleanText(problem, wire::kTextBytesMax));
      }
    }
    return Done(context);
  }

 private:
  const ControlSources sources_;
};

absl::StatusOr<sockaddr_un> SocketAddress(const std::filesystem::path& path) {
  sockaddr_un address{.sun_family = AF_UNIX};
  const std::string& name = path.native();
  if (name.empty() || name.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        base::StrCat("the path of the control socket, ", name, ", must have 1 to ",
                     sizeof(address.sun_path) - 1, " bytes; choose a shorter one"));
  }
  std::memcpy(address.sun_path, name.data(), name.size());
  return address;
}

// Makes way for a new socket if nobody listens on the one that is there.
absl::Status RemoveStale(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return absl::OkStatus();
  if (!S_ISSOCK(status.st_mode)) {
    return absl::AlreadyExistsError(
        base::StrCat(path.native(), " is there and is no socket; choose another path"));
  }
  const base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return base::ErrnoStatus(errno, "socket");
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return absl::AlreadyExistsError(
        base::StrCat("another node listens on ", path.native(), "; choose another path"));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return base::ErrnoStatus(errno, base::StrCat("cannot remove ", path.native()));
  }
  return absl::OkStatus();
}

// Our own listening socket instead of gRPC's, so that its mode is right from its first moment on.
absl::StatusOr<base::UniqueFd> Listen(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, SocketAddress(path));
  RETURN_IF_ERROR(RemoveStale(path, address));
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return base::ErrnoStatus(errno, "socket");
  // bind(2) gives the file the socket's own mode less the umask, whose change would touch every
  // thread.
  if (::fchmod(socket.get(), 0600) != 0) return base::ErrnoStatus(errno, "fchmod");
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.get(), 16) != 0) {
    return base::ErrnoStatus(errno, base::StrCat("cannot listen on ", path.native()));
  }
  return socket;
}

class GrpcControlServer final : public ControlServer {
 public:
  GrpcControlServer(std::filesystem::path path, ControlSources sources)
      : path_(std::move(path)), service_(std::move(sources)) {}

  ~GrpcControlServer() override {
    accepting_ = {};
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    ::unlink(path_.c_str());
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(listener_, Listen(path_));
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("cannot start the control server");
    accepting_ = std::jthread([this](std::stop_token stop) { Accept(stop); });
    return absl::OkStatus();
  }

 private:
  // Hands each connection to gRPC.
  void Accept(std::stop_token stop) {
    // Wakes accept4 with EINVAL; closing the descriptor would not.
    const std::stop_callback wake(stop, [this] { ::shutdown(listener_.get(), SHUT_RDWR); });
    while (!stop.stop_requested()) {
      const int connection =
          ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (connection >= 0) {
        grpc::AddInsecureChannelFromFd(server_.get(), connection);
      } else if (errno != EINTR && errno != ECONNABORTED) {
        constexpr int kPauseMs = 100;  // Out of descriptors or memory: others may give some back.
        ::poll(nullptr, 0, kPauseMs);
      }
    }
  }

  const std::filesystem::path path_;
  Service service_;
  base::UniqueFd listener_;
  std::unique_ptr<grpc::Server> server_;
  std::jthread accepting_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(
    const std::filesystem::path& socket_path, ControlSources sources) {
  auto server = std::make_unique<GrpcControlServer>(socket_path, std::move(sources));
  RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace ncn::node
