#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "wire/node_info.h"

namespace ncn::wire {

// What a registered participant does.
enum class NodeRole { kCompute, kGateway, kValidator };

// "compute", "gateway", "validator".
const char* Name(NodeRole role);

// A participant that a registry knows.
struct DiscoveredNode {
  NodeInfo info;
  NodeRole role = NodeRole::kCompute;
  std::string endpoint;                // Where it is reached; empty for one that dials out.
  std::int64_t last_seen_seconds = 0;  // Unix time of its last heartbeat.
};

// Which participants are wanted.
struct NodeQuery {
  std::uint32_t subnet_id = 0;   // 0: of any.
  std::string model;             // Empty: whatever they execute.
  std::optional<NodeRole> role;  // Empty: any.
  std::uint32_t limit = 0;       // 0: the registry's own.
};

}  // namespace ncn::wire
