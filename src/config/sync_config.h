#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ncn::config {

// Where models come from, and how: of compute_node and of `ncn models`. Flags, variables and
// meanings stand in sync_config.cc.
struct SyncConfig {
  std::vector<std::string> registries;
  std::uint32_t subnet_id = 1;
  std::filesystem::path models_dir = "./models";
  std::string subnet_owner;  // Empty: whoever signed first.
  std::uint32_t interval_seconds = 300;
  std::uint64_t disk_budget_mb = 0;  // 0: none.
  std::uint64_t disk_reserve_mb = 1024;
  double download_mb_per_second = 0;  // 0: no limit.
  std::string ipfs_gateway;
  std::vector<std::filesystem::path> file_sources;  // Folders.
  bool private_sources = false;
};

// Adds the options to a program or command. `config` outlives the parsing.
void AddSyncOptions(CLI::App& app, SyncConfig& config);

}  // namespace ncn::config
