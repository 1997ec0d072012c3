#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wire/node_info.h"

namespace ncn::node {

// What an operator's tools ask a running node, over a unix socket that only its own user (and root)
// can open.

struct StatisticsReport {
  std::string json;  // A JSON object with everything that is counted.
  wire::StatisticsSummary totals;
};
struct NodeReport {
  wire::NodeInfo info;
  std::string gateway_address;
  bool connected = false;
  std::string last_error;
  std::uint64_t reconnects = 0;
  std::uint64_t results_pending = 0;
};
struct ModelReport {
  std::string model;
  std::string format;
  std::uint64_t size_bytes = 0;
  std::string sha256;  // The model's, as results state it.
  std::vector<std::string> problems;
  std::string state;  // COLD, LOADING, READY, EVICTING, QUARANTINED; empty when it cannot be used.
  std::uint32_t ready = 0, loading = 0, busy = 0;  // Sandboxes.
  std::uint64_t memory_bytes = 0;                  // Of the ready ones.
  std::string reason;                              // Why quarantined,
  std::uint64_t retry_after_ms = 0;                // and for how long.
  std::uint64_t loading_for_ms = 0;                // While one is loaded,
  std::uint64_t load_time_ms = 0;                  // and how long that took the last time.
  std::string version;                             // Empty when nobody gave it one.
  bool pinned = false;                             // It stays loaded.
  std::string isolation;  // How far its requests are kept apart: request, rewind, tenant, cold.
};

// Where the answers come from. Called from any thread, several at once.
struct ControlSources {
  std::function<StatisticsReport()> statistics;
  std::function<NodeReport()> node;
  std::function<std::vector<ModelReport>()> models;
};

// Serves NodeControlService until destroyed. Thread-safe.
class ControlServer {
 public:
  // Listens on `socket_path`, mode 0600. A socket left behind by a node that is gone is replaced;
  // AlreadyExists when another node answers there, or when the path is no socket.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(
      const std::filesystem::path& socket_path, ControlSources sources);
  virtual ~ControlServer() = default;
};

// Asks a node. Thread-safe. Every call: NotFound when no node listens there.
class ControlClient {
 public:
  static std::unique_ptr<ControlClient> Make(const std::filesystem::path& socket_path);
  virtual ~ControlClient() = default;
  virtual absl::StatusOr<StatisticsReport> GetStatistics() = 0;
  virtual absl::StatusOr<NodeReport> GetNodeInfo() = 0;
  virtual absl::StatusOr<std::vector<ModelReport>> ListModels() = 0;
};

}  // namespace ncn::node
