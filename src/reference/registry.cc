#include "reference/registry.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "inference/subnet.h"
#include "reference/file_depot.h"
#include "reference/file_server.h"
#include "reference/listening.h"
#include "reference/registered_nodes.h"
#include "reference/registry_records.h"
#include "reference/registry_service.h"
#include "reference/workers.h"
#include "signing/address.h"
#include "wire/channel.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kWorkerThreads = 4;
constexpr std::size_t kFileWorkerThreads = 8;
constexpr std::size_t kWorkerQueueCapacity = 4096;
constexpr std::chrono::milliseconds kTickInterval{500};

}  // namespace

class ReferenceRegistry::Parts {
 public:
  Parts(const RegistryOptions& options, const base::Clock& clock)
      : options_(options),
        clock_(clock),
        workers_(kWorkerThreads, kWorkerQueueCapacity),
        file_workers_(kFileWorkerThreads, kWorkerQueueCapacity) {}

  ~Parts() {
    ticker_ = {};
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());  // Cancels what is under way.
      server_->Wait();
    }
    file_workers_.Stop();  // A task may outlive its call, but not what it uses.
    workers_.Stop();
  }

  absl::Status Start() {
    RETURN_IF_ERROR(OpenFolder());
    if (!options_.http_listen_address.empty()) {
      ASSIGN_OR_RETURN(
          file_server_,
          FileServer::Start({.listen_address = options_.http_listen_address}, *files_));
    }
    RETURN_IF_ERROR(Listen());
    const bool is_local = options_.http_url.empty();
    service_->Open(
        options_.names.empty() ? LoopbackNames(options_.listen_address, port_) : options_.names,
        HttpBase(), is_local);
    ticker_ = std::jthread([this](std::stop_token stop) { Tick(stop); });
    return absl::OkStatus();
  }

  const RegistryOptions& options() const { return options_; }
  int port() const { return port_; }
  std::string http_address() const {
    return file_server_ == nullptr ? "" : file_server_->address();
  }

 private:
  absl::Status OpenFolder() {
    ASSIGN_OR_RETURN(files_, FileDepot::Open(
                                 {.folder = options_.folder,
                                  .bytes_max = options_.storage_bytes_max,
                                  .free_bytes_reserve = options_.free_bytes_reserve,
                                  .upload_idle_max = options_.upload_idle_max},
                                 [this](const std::string& sha256) {
                                   const auto needed = records_->NeedsFile(sha256);
                                   return !needed.ok() || *needed;
                                 },
                                 clock_));
    ASSIGN_OR_RETURN(records_, RegistryRecords::Open(options_.folder / "registry.db", {}));
    nodes_ = std::make_unique<RegisteredNodes>(
        RegisteredNodes::Options{.time_to_live = options_.node_time_to_live}, *records_, clock_);
    RETURN_IF_ERROR(nodes_->Load());
    RegistryService::Options service{.transfer_idle_max = options_.transfer_idle_max};
    for (const std::string& owner : options_.owners) {
      ASSIGN_OR_RETURN(const auto address, signing::EthereumAddress::Parse(owner));
      service.owners.push_back(address.ToString());
    }
    service_ = std::make_unique<RegistryService>(
        service,
        RegistryService::Parts{*records_, *files_, *nodes_, workers_, file_workers_, clock_});
    return absl::OkStatus();
  }

  absl::Status Listen() {
    ASSIGN_OR_RETURN(auto credentials,
                     MakeCredentials(options_.certificate_file, options_.key_file));
    grpc::ServerBuilder builder;
    wire::ConnectionOptions connection;
    connection.payload_bytes_max = inference::kSubnetMetadataBytesMax;
    wire::ApplyToServer(connection, builder);
    builder.AddListeningPort(options_.listen_address, credentials, &port_);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) return CannotListen(options_.listen_address);
    return absl::OkStatus();
  }

  // What comes before the hash in a source.
  std::string HttpBase() const {
    if (!options_.http_url.empty()) {
      return base::StrCat(options_.http_url, options_.http_url.ends_with('/') ? "" : "/", "files/");
    }
    const bool is_local =
        file_server_ != nullptr && IsLoopback(HostOf(options_.http_listen_address));
    return is_local ? base::StrCat(file_server_->address(), "/files/") : "";
  }

  void Tick(std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      never.wait_for(lock, stop, kTickInterval, [] { return false; });
      nodes_->Tick();
      service_->Tick();
    }
  }

  const RegistryOptions options_;
  const base::Clock& clock_;
  std::unique_ptr<RegistryRecords> records_;
  std::unique_ptr<FileDepot> files_;
  std::unique_ptr<RegisteredNodes> nodes_;
  Workers workers_;
  Workers file_workers_;
  std::unique_ptr<RegistryService> service_;
  std::unique_ptr<FileServer> file_server_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::jthread ticker_;
};

absl::StatusOr<std::unique_ptr<ReferenceRegistry>> ReferenceRegistry::Start(
    const RegistryOptions& options, const base::Clock& clock) {
  auto parts = std::make_unique<Parts>(options, clock);
  RETURN_IF_ERROR(parts->Start());
  return std::unique_ptr<ReferenceRegistry>(new ReferenceRegistry(std::move(parts)));
}

ReferenceRegistry::ReferenceRegistry(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ReferenceRegistry::~ReferenceRegistry() = default;

int ReferenceRegistry::port() const { return parts_->port(); }

std::string ReferenceRegistry::address() const {
  const RegistryOptions& options = parts_->options();
  return AddressOf(options.listen_address, parts_->port(), !options.certificate_file.empty());
}

std::string ReferenceRegistry::http_address() const { return parts_->http_address(); }

}  // namespace ncn::reference
