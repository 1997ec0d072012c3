#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "ncn/v2/p2p_registry.pb.h"
#include "reference/node_authority.h"
#include "reference/registry_records.h"
#include "wire/registry_messages.h"

namespace ncn::reference {

// The participants that a registry knows. They live for a time without a heartbeat, and over a
// restart of the registry, which counts as one. A wallet has one registration; its newest counts.
// Thread-safe.
class RegisteredNodes {
 public:
  struct Options {
    std::chrono::seconds time_to_live{30};
    std::size_t nodes_max = 2000;
    std::size_t bytes_max = 256 << 20;                 // Of what all say of themselves.
    std::uint32_t registrations_per_minute_max = 600;  // From one host.
    std::size_t answer_max = 1000;                     // Nodes in one answer.
  };

  // The arguments outlive this.
  RegisteredNodes(const Options& options, RegistryRecords& records, const base::Clock& clock);

  // Reads the nodes of the last run.
  absl::Status Load();

  // `name` is the authority by which the node reached the registry, `host` where it calls from.
  absl::Status Register(const NodeAuthority& authority, const std::string& name,
                        const std::string& host, v2::RegisterNodeRequest&& request,
                        v2::RegisterNodeResponse* response);
  // The node's subnet. Unauthenticated when the token is of no registration.
  absl::StatusOr<std::uint32_t> Heartbeat(v2::UpdateNodeHeartbeatRequest&& request);
  absl::Status Deregister(const std::string& token);
  // Sorted by address.
  std::vector<wire::DiscoveredNode> Discover(const wire::NodeQuery& query);

  // Forgets the silent.
  void Tick();

 private:
  struct Node {
    wire::DiscoveredNode described;
    base::SteadyTime heard;
    std::string token_hash;
    std::size_t bytes = 0;  // Of what it says of itself, as a message.
  };
  struct Window {
    base::SteadyTime begin;
    std::uint32_t count = 0;
  };

  absl::Status Challenge(const NodeAuthority& authority, const std::string& host,
                         v2::RegisterNodeResponse* response);
  // With mutex_ held.
  bool MayRegister(const std::string& host, base::SteadyTime now);
  // Whether `address` may say so much of itself instead of what it said before.
  absl::Status CheckRoom(const std::string& address, std::size_t bytes) const;
  void Forget(const std::string& address);

  const Options options_;
  RegistryRecords& records_;
  const base::Clock& clock_;

  std::mutex mutex_;
  std::map<std::string, base::SteadyTime> nonces_;  // Given out, not used yet.
  std::map<std::string, Window> windows_;           // By host.
  std::map<std::string, Node> nodes_;               // By address.
  std::size_t bytes_ = 0;                           // Of all nodes.
  std::map<std::string, std::string> addresses_;    // By the SHA-256 of the token.
};

}  // namespace ncn::reference
