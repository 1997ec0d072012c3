#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "config/sync_config.h"
#include "sync/sync_service.h"

namespace ncn::apps {

// What compute_node and ncn make of the same flags.

// A client for each registry; none is connected yet. Errors name the address.
inline absl::StatusOr<sync::Registries> ConnectRegistries(const config::SyncConfig& config,
                                                          const std::string& tls_ca_file) {
  sync::Registries registries;
  for (const std::string& address : config.registries) {
    registry::ClientOptions options;
    options.connection.ca_file = tls_ca_file;
    ASSIGN_OR_RETURN(auto client, registry::RegistryClient::Make(address, options));
    registries.push_back(std::move(client));
  }
  return registries;
}

// What was synchronised into `folder`, by name.
inline absl::StatusOr<std::map<std::string, sync::InstalledModel>> SynchronisedIn(
    const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(std::vector<sync::InstalledModel> installed, sync::ReadInstalled(folder));
  std::map<std::string, sync::InstalledModel> by_name;
  for (sync::InstalledModel& model : installed) by_name.emplace(model.model, std::move(model));
  return by_name;
}

// A model's version: its subnet's, if it is of `synchronised`, else its manifest's.
inline std::string VersionOf(const models::Model& model,
                             const std::map<std::string, sync::InstalledModel>& synchronised) {
  const auto found = synchronised.find(model.id.value());
  return found != synchronised.end() ? found->second.version : model.manifest.version;
}

inline sync::Following FollowingOf(const config::SyncConfig& config) {
  return {.subnet_id = config.subnet_id, .owner_address = config.subnet_owner};
}

inline sync::SynchronizerOptions SynchronizerOptionsOf(const config::SyncConfig& config,
                                                       const std::string& tls_ca_file) {
  sync::SynchronizerOptions options;
  options.download.bytes_per_second_max =
      static_cast<std::uint64_t>(config.download_mb_per_second * (1 << 20));
  options.download.disk_reserve_bytes = config.disk_reserve_mb << 20;
  options.download.ca_file = tls_ca_file;
  options.download.allow_private_addresses = config.private_sources;
  options.download.ipfs_gateway = config.ipfs_gateway;
  options.download.file_folders = config.file_sources;
  options.disk_budget_bytes = config.disk_budget_mb << 20;
  options.memory_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return options;
}

}  // namespace ncn::apps
