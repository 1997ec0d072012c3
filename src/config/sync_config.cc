#include "config/sync_config.h"

#include <CLI/CLI.hpp>

namespace ncn::config {
namespace {

// What may be told, beside what the specification names.
void AddLimits(CLI::App& app, SyncConfig& config) {
  app.add_option("--sync-interval-secs", config.interval_seconds,
                 "How often the subnet is asked for changes; a registry's word comes in between")
      ->envname("SYNC_INTERVAL_SECS")
      ->check(CLI::Range(5, 86400))
      ->capture_default_str();
  app.add_option("--models-disk-budget", config.disk_budget_mb,
                 "Disk space for synchronised models, in MiB, old versions included; 0: no limit, "
                 "and old versions go as soon as nobody uses them")
      ->envname("MODELS_DISK_BUDGET")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app.add_option("--disk-reserve-mb", config.disk_reserve_mb,
                 "Disk space that downloads leave free, in MiB")
      ->envname("DISK_RESERVE_MB")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app.add_option("--download-limit", config.download_mb_per_second,
                 "Most that downloads take of the network, in MiB a second; 0: no limit")
      ->envname("DOWNLOAD_LIMIT")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--ipfs-gateway", config.ipfs_gateway,
                 "HTTP gateway for ipfs:// sources, such as https://ipfs.example; without it they "
                 "are skipped")
      ->envname("IPFS_GATEWAY");
  app.add_option("--file-sources", config.file_sources,
                 "Folder below which file:// sources may lie; may be repeated")
      ->envname("FILE_SOURCES")
      ->delimiter(',');
  app.add_flag("--private-sources", config.private_sources,
               "Allow https:// sources in private networks, such as a mirror of your own")
      ->envname("PRIVATE_SOURCES");
}

}  // namespace

void AddSyncOptions(CLI::App& app, SyncConfig& config) {
  app.add_option("--registry-addr", config.registries,
                 "P2P Registry address (for sync), http(s)://HOST:PORT; may be repeated")
      ->envname("REGISTRY_ADDR")
      ->delimiter(',');
  app.add_option("--subnet-id", config.subnet_id, "Subnet to join")
      ->envname("SUBNET_ID")
      ->check(CLI::Range(std::uint32_t{1}, UINT32_MAX))
      ->capture_default_str();
  app.add_option("--models-dir", config.models_dir, "Download directory")
      ->envname("MODELS_DIR")
      ->capture_default_str();
  app.add_option("--subnet-owner", config.subnet_owner,
                 "Address that must have signed the subnet's metadata; without it, whoever signed "
                 "what was accepted first")
      ->envname("SUBNET_OWNER");
  AddLimits(app, config);
}

}  // namespace ncn::config
