#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "config/command_line.h"
#include "config/sync_config.h"
#include "inference/limits.h"

namespace ncn::config {

// Everything that `compute_node` can be told. Parsed once; immutable afterwards. Defaults are here
// and nowhere else; the flag, variable and meaning of each field stand in node_config.cc.
struct NodeConfig {
  std::string gateway_address;
  std::filesystem::path model_path = "./models";
  bool sync_models = false;
  SyncConfig sync;

  base::Secret private_key;  // Hexadecimal; empty when none was given.
  std::optional<std::filesystem::path> private_key_file;
  std::optional<std::string> wallet_address;
  std::string sandbox_mode = "strict";
  std::uint32_t execution_timeout_seconds = 300;
  std::uint32_t memory_mb_max = 4096;
  bool execution_fallback = false;
  bool require_payment = false;
  std::filesystem::path python_executor_path = "python_executors";

  std::filesystem::path state_dir;
  std::filesystem::path runtime_image;
  std::uint32_t execution_slots = 0;  // 0: one per core, as far as memory goes.
  std::uint32_t queue_depth = 64;
  std::uint32_t threads_per_request = 0;            // 0: the cores shared out among the slots.
  std::string isolation = "rewind";                 // rewind, request, tenant, cold.
  std::map<std::string, std::string> isolation_of;  // By model.
  std::uint32_t tenant_requests_max = 10'000;       // Of one sandbox; for rewind, too.
  std::uint32_t tenant_seconds_max = 600;
  std::uint32_t model_cache_ttl_seconds = 300;
  std::uint32_t model_cache_mb = 4096;
  std::uint32_t model_load_timeout_seconds = 300;
  std::uint32_t ready_min = 1;
  std::uint32_t ready_max = 0;  // 0: four for each slot.
  std::vector<std::string> preload;
  std::vector<std::string> pin;
  std::uint32_t message_mb_max = 256;
  std::uint32_t drain_timeout_seconds = 30;
  std::optional<std::filesystem::path> tls_ca_file;
  std::string log_filter;
};

// Reads the command line and the environment: flag > environment > default. Takes
// COMPUTE_NODE_PRIVATE_KEY out of the process's environment and overwrites it there, so that
// neither a child nor /proc/self/environ shows it; hence call this once, before any thread exists.
Parsed<NodeConfig> ParseNodeConfig(int argc, char** argv, const char* version);

}  // namespace ncn::config
