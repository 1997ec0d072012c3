#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ncn::wire {

enum class NodeState { kLoading, kReady, kDraining };

// "LOADING", "READY", "DRAINING".
const char* Name(NodeState state);

// Summary of what a node has executed since it started.
struct StatisticsSummary {
  std::uint64_t executions_total = 0;
  std::uint64_t executions_successful = 0;
  std::uint64_t executions_failed = 0;
  std::uint64_t average_time_us = 0;
};

// What a node is and how it is doing; proto/ncn/v2/common_types.proto explains each field.
struct NodeInfo {
  std::string address;  // EIP-55.
  std::string version;
  std::vector<std::string> supported_models;
  std::string sandbox_mode;
  std::vector<std::string> enforced_layers;
  std::uint32_t slots_total = 0;
  std::uint32_t slots_in_use = 0;
  std::uint32_t slots_free = 0;
  std::uint32_t queued = 0;
  std::uint32_t queue_capacity = 0;
  StatisticsSummary statistics;
  NodeState state = NodeState::kLoading;
  std::uint64_t input_bytes_max = 0;  // 0: not stated.
  std::uint32_t subnet_id = 0;        // 0: not stated.
};

}  // namespace ncn::wire
