#include "reference/gateway.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/files.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "reference/client_service.h"
#include "reference/compute_service.h"
#include "reference/workers.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kWorkerThreads = 4;
constexpr std::size_t kWorkerQueueCapacity = 65536;
constexpr std::size_t kPemBytesMax = 1 << 20;
constexpr std::chrono::milliseconds kTickInterval{50};

std::string HostOf(const std::string& listen_address) {
  return listen_address.substr(0, listen_address.rfind(':'));
}

bool IsLoopback(const std::string& host) {
  return host.starts_with("127.") || host == "localhost" || host == "[::1]";
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(
    const GatewayOptions& options) {
  if (options.certificate_file.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions ssl;
  ASSIGN_OR_RETURN(std::string certificate, base::ReadFile(options.certificate_file, kPemBytesMax));
  ASSIGN_OR_RETURN(std::string key, base::ReadFile(options.key_file, kPemBytesMax));
  ssl.pem_key_cert_pairs.push_back({std::move(key), std::move(certificate)});
  return grpc::SslServerCredentials(ssl);
}

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
    ASSIGN_OR_RETURN(auto credentials, Credentials(options_));
    grpc::ServerBuilder builder;
    wire::ApplyToServer(options_.connection, builder);
    builder.AddListeningPort(options_.listen_address, credentials, &port_);
    builder.RegisterService(&compute_);
    builder.RegisterService(&client_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(base::StrCat(
          "cannot listen on ", options_.listen_address,
          ": the port is taken, or the address is none of this machine; choose another port, or 0 "
          "for any that is free"));
    }
    compute_.Open(Names());
    ticker_ = std::jthread([this](std::stop_token stop) { Tick(stop); });
    return absl::OkStatus();
  }

  std::vector<std::string> Names() const {
    const std::string host = HostOf(options_.listen_address);
    if (!options_.names.empty() || !IsLoopback(host)) return options_.names;
    std::vector<std::string> names;
    for (const std::string& name :
         {host, std::string("127.0.0.1"), std::string("localhost"), std::string("[::1]")}) {
      names.push_back(base::StrCat(name, ":", port_));
    }
    return names;
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
  std::string host = HostOf(parts_->options_.listen_address);
  if (host == "0.0.0.0" || host == "[::]") host = "127.0.0.1";
  return base::StrCat(parts_->options_.certificate_file.empty() ? "http://" : "https://", host, ":",
                      parts_->port_);
}

std::vector<SupportedModel> ReferenceGateway::Models() const { return parts_->broker_.Models(); }

void ReferenceGateway::AnnounceShutdown(std::chrono::milliseconds deadline) {
  parts_->compute_.SendDrain(deadline);
}

}  // namespace ncn::reference
