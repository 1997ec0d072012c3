#include "reference/gateway.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "reference/client_service.h"
#include "reference/compute_service.h"
#include "reference/listening.h"
#include "reference/workers.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kWorkerThreads = 4;
constexpr std::size_t kWorkerQueueCapacity = 65536;
constexpr std::chrono::milliseconds kTickInterval{50};

}  // namespace

class ReferenceGateway::Parts {
 public:
  Parts(const GatewayOptions& options, const base::Clock& clock)
      : options_(options),
        broker_(options.broker, clock),
        workers_(kWorkerThreads, kWorkerQueueCapacity),
        compute_({.sessions_max = options.sessions_max,
                  .heartbeat_interval = options.heartbeat_interval,
                  .handshake_timeout = options.handshake_timeout,
                  .message_bytes_max =
                      options.connection.payload_bytes_max + wire::kMessageOverheadBytes,
                  .gateway_version = options.version,
                  .offer_session = options.offer_session,
                  .observer = options.observer},
                 broker_, workers_, clock),
        client_({.input_bytes_max = options.connection.payload_bytes_max}, broker_, workers_) {}

  ~Parts() {
    ticker_ = {};
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());  // Cancels what is under way.
    server_->Wait();
    workers_.Stop();  // A task may outlive its call, but not what it uses.
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(auto credentials,
                     MakeCredentials(options_.certificate_file, options_.key_file));
    grpc::ServerBuilder builder;
    wire::ApplyToServer(options_.connection, builder);
    builder.AddListeningPort(options_.listen_address, credentials, &port_);
    builder.RegisterService(&compute_);
    builder.RegisterService(&client_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) return CannotListen(options_.listen_address);
    compute_.Open(options_.names.empty() ? LoopbackNames(options_.listen_address, port_)
                                         : options_.names);
    ticker_ = std::jthread([this](std::stop_token stop) { Tick(stop); });
    return absl::OkStatus();
  }

  void Tick(std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      never.wait_for(lock, stop, kTickInterval, [] { return false; });
      broker_.Tick();
      compute_.Tick();
    }
  }

  const GatewayOptions options_;
  Broker broker_;
  Workers workers_;
  ComputeService compute_;
  ClientService client_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::jthread ticker_;
};

absl::StatusOr<std::unique_ptr<ReferenceGateway>> ReferenceGateway::Start(
    const GatewayOptions& options, const base::Clock& clock) {
  auto parts = std::make_unique<Parts>(options, clock);
  RETURN_IF_ERROR(parts->Start());
  return std::unique_ptr<ReferenceGateway>(new ReferenceGateway(std::move(parts)));
}

ReferenceGateway::ReferenceGateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ReferenceGateway::~ReferenceGateway() = default;

int ReferenceGateway::port() const { return parts_->port_; }

std::string ReferenceGateway::address() const {
  const GatewayOptions& options = parts_->options_;
  return AddressOf(options.listen_address, parts_->port_, !options.certificate_file.empty());
}

std::vector<SupportedModel> ReferenceGateway::Models() const { return parts_->broker_.Models(); }

void ReferenceGateway::AnnounceShutdown(std::chrono::milliseconds deadline) {
  parts_->compute_.SendDrain(deadline);
}

}  // namespace ncn::reference
