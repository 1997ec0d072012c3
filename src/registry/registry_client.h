#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/subnet.h"
#include "wire/channel.h"
#include "wire/node_info.h"
#include "wire/registry_messages.h"

namespace ncn::registry {

struct ClientOptions {
  wire::ConnectionOptions connection;
  std::chrono::milliseconds call_timeout{10000};   // Of a call that transfers no file.
  std::chrono::milliseconds stall_timeout{30000};  // Of a transfer, while not a byte moves.
};

// How much of a file a registry holds.
struct FileHolding {
  std::uint64_t bytes_held = 0;  // From the beginning.
  bool complete = false;         // It is whole, and of the hash that names it.
};

// The owner's leave to give a registry one file; signing/subnet_signature.h makes the signature.
struct UploadPermit {
  std::uint32_t subnet_id = 0;
  std::string sha256;  // Lower-case hex.
  std::uint64_t size_bytes = 0;
  std::int64_t expires_seconds = 0;  // Unix time.
  std::string owner_signature;       // 65 bytes.
};

// What a registered node holds on to.
struct Registration {
  std::string token;  // Secret: whoever has it can speak for the node.
  std::chrono::seconds time_to_live{0};
};

// Signs a registry's nonce with the node's wallet, as signing/session_proof.h does it. `registry`
// is the authority (host:port) by which the node reached it, so that no registry can pass the proof
// on to another.
using SignChallenge = std::function<absl::StatusOr<std::string>(
    std::string_view nonce, std::string_view registry, std::uint32_t protocol_version)>;

// How a node presents itself.
struct Presentation {
  wire::NodeInfo info;
  wire::NodeRole role = wire::NodeRole::kCompute;
  std::string endpoint;  // Where others reach it; empty for one that dials out.
};

// One registry. What it answers is not believed but checked: form and limits, the id that was asked
// for, the owner's signature where there is one. Nothing is tried twice; that is for the caller.
// Every error begins with the registry's address. Besides what a method says:
//   Unavailable       it cannot be reached, or went away: try later
//   DeadlineExceeded  it answered nothing for as long as ClientOptions allow
//   Cancelled         `stop` was requested
//   DataLoss          what it answered is malformed, too large, or contradicts itself
// or the error that it answered with. Thread-safe.
class RegistryClient {
 public:
  // Does not wait for a connection. Errors of wire::MakeChannel.
  static absl::StatusOr<std::unique_ptr<RegistryClient>> Make(std::string_view address,
                                                              const ClientOptions& options);
  ~RegistryClient();

  const std::string& address() const;  // As given to Make.

  // The subnet with its models. If it carries a signature, its owner has made it; PermissionDenied
  // when somebody else has. NotFound when the registry knows no such subnet.
  absl::StatusOr<inference::Subnet> GetSubnet(std::uint32_t subnet_id, std::stop_token stop = {});
  // The subnets with ids above `after_subnet_id`, sorted, without models and signatures. At most
  // `limit`; 0: as many as the registry gives at once. Empty: there are no more.
  absl::StatusOr<std::vector<inference::Subnet>> ListSubnets(std::uint32_t after_subnet_id,
                                                             std::uint32_t limit);
  // Both give back what the registry stored. AlreadyExists; Aborted: another change came first.
  absl::StatusOr<inference::Subnet> CreateSubnet(const inference::Subnet& subnet);
  absl::StatusOr<inference::Subnet> UpdateSubnet(const inference::Subnet& subnet);

  absl::StatusOr<FileHolding> StatFile(std::string_view sha256, std::stop_token stop = {});
  // Gives `sink` the file's bytes from `offset` on, in order, at most `length` of them (0: to the
  // end); an error of the sink ends the transfer and is returned. DataLoss when more comes than was
  // asked for, or less than `length`. The hash is for the caller to check. NotFound when the
  // registry does not hold the file whole.
  absl::Status Download(std::string_view sha256, std::uint64_t offset, std::uint64_t length,
                        const std::function<absl::Status(std::string_view)>& sink,
                        std::stop_token stop = {});
  // Gives the registry the file behind `fd`, whose offset does not matter, from where it left off.
  // `on_progress` hears how many bytes are there. Aborted: somebody else uploads the same file now.
  absl::Status Upload(int fd, const UploadPermit& permit,
                      const std::function<void(std::uint64_t bytes_held)>& on_progress,
                      std::stop_token stop = {});

  // Unauthenticated when the registry does not believe the proof.
  absl::StatusOr<Registration> RegisterNode(const Presentation& node, const SignChallenge& sign);
  // The version of the metadata of the node's subnet; 0 when the registry does not know the subnet.
  // Unauthenticated: register again.
  absl::StatusOr<std::uint64_t> UpdateNodeHeartbeat(const std::string& token,
                                                    const wire::NodeInfo& info);
  absl::Status DeregisterNode(const std::string& token);
  absl::StatusOr<std::vector<wire::DiscoveredNode>> DiscoverNodes(const wire::NodeQuery& query);

 private:
  class Connection;
  explicit RegistryClient(std::unique_ptr<Connection> connection);

  const std::unique_ptr<Connection> connection_;
};

}  // namespace ncn::registry
