#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sqlite.h"
#include "inference/subnet.h"
#include "ncn/v2/p2p_registry.pb.h"

namespace ncn::reference {

// A node as it is kept over restarts.
struct NodeRecord {
  std::string address;     // EIP-55.
  std::string token_hash;  // SHA-256 of its registration token.
  std::string node;        // A serialized v2::DiscoveredNode.
};

// What a registry knows, in one SQLite file; what was answered with OK survives a power loss.
// Thread-safe.
class RegistryRecords {
 public:
  struct Limits {
    std::size_t subnets_max = 10000;
    std::uint64_t metadata_bytes_max = 1ULL << 30;  // Of all subnets together.
  };

  static absl::StatusOr<std::unique_ptr<RegistryRecords>> Open(const std::filesystem::path& file,
                                                               const Limits& limits);

  // NotFound.
  absl::StatusOr<v2::Subnet> Get(std::uint32_t subnet_id);
  // EIP-55; NotFound.
  absl::StatusOr<std::string> Owner(std::uint32_t subnet_id);
  // 0 when there is no such subnet.
  std::uint64_t Version(std::uint32_t subnet_id);
  // Without models and signatures.
  absl::StatusOr<std::vector<v2::Subnet>> List(std::uint32_t after_subnet_id, std::size_t limit);
  // Stores a subnet whose signature was verified. AlreadyExists.
  absl::Status Create(const inference::Subnet& subnet);
  // Replaces a subnet by the version that follows it. Aborted when it is not that; NotFound;
  // PermissionDenied when the owner differs from the one who signs.
  absl::Status Update(const inference::Subnet& subnet, std::string_view signer);
  // Whether some subnet needs the file.
  absl::StatusOr<bool> NeedsFile(std::string_view sha256);

  absl::StatusOr<std::vector<NodeRecord>> Nodes();
  absl::Status Put(const NodeRecord& node);
  absl::Status RemoveNode(std::string_view address);

 private:
  RegistryRecords(base::Database database, const Limits& limits);

  // With mutex_ held.
  absl::Status CheckRoom(std::uint64_t bytes_more);
  absl::Status Store(const inference::Subnet& subnet, std::string_view metadata);

  const Limits limits_;
  std::mutex mutex_;
  base::Database database_;
};

}  // namespace ncn::reference
