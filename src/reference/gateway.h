#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "reference/broker.h"
#include "wire/channel.h"

namespace ncn::reference {

struct GatewayOptions {
  std::string listen_address = "127.0.0.1:50051";  // host:port; port 0: any that is free.
  wire::ConnectionOptions connection;
  BrokerOptions broker;
  std::chrono::milliseconds heartbeat_interval{5000};
  std::chrono::milliseconds handshake_timeout{10000};
  std::size_t sessions_max = 1000;
  // Authorities (host:port) by which nodes reach the gateway. Empty: for a loopback address its
  // usual names, else whatever name a node used, which lets a gateway in between pass proofs on.
  std::vector<std::string> names;
  // PEM files; empty: without TLS.
  std::filesystem::path certificate_file;
  std::filesystem::path key_file;
  std::string version = "0.1.0";
  bool offer_session = true;  // False: nodes must poll.
  // Sees every message of every node before it is handled; for tests and logs. From any thread.
  std::function<void(const std::string& address, const wire::NodeMessage&)> observer;
};

// A gateway good enough to run a real network on one machine: GatewayComputeService and
// GatewayClientService on one port, tasks in memory. Thread-safe.
class ReferenceGateway {
 public:
  // Listens and serves until destroyed. Unavailable when the address cannot be had.
  static absl::StatusOr<std::unique_ptr<ReferenceGateway>> Start(
      const GatewayOptions& options, const base::Clock& clock = base::Clock::System());
  // Ends every call at once.
  ~ReferenceGateway();

  int port() const;
  // http://host:port, as nodes and clients write it.
  std::string address() const;
  std::vector<SupportedModel> Models() const;
  // Tells the nodes that no more will come, for whoever wants to destroy the gateway in peace.
  void AnnounceShutdown(std::chrono::milliseconds deadline);

 private:
  class Parts;
  explicit ReferenceGateway(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace ncn::reference
