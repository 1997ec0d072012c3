#include "config/registry_config.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/strings.h"
#include "config/locations.h"

namespace ncn::config {

Parsed<RegistryConfig> ParseRegistryConfig(int argc, char** argv, const char* version) {
  RegistryConfig config{.folder = DefaultStateDir() / "registry"};
  if (const char* rust_log = std::getenv("RUST_LOG")) config.log_filter = rust_log;
  CLI::App app(
      "A registry for a network on one machine: keeps the metadata of subnets, the files of their "
      "models, and which nodes there are.",
      "reference_registry");
  app.set_version_flag("--version", base::StrCat("reference_registry ", version));
  app.footer(
      "Everything that it knows is in --folder and survives a restart. It believes signatures "
      "only: "
      "whoever has a subnet's wallet can change it.");
  app.add_option("--listen", config.listen_address,
                 "HOST:PORT to serve gRPC on; port 0 takes a free one")
      ->envname("REGISTRY_LISTEN")
      ->capture_default_str();
  app.add_option("--http-listen", config.http_listen_address,
                 "HOST:PORT to serve files on by HTTP; port 0 takes a free one, '' serves none")
      ->envname("REGISTRY_HTTP_LISTEN")
      ->capture_default_str();
  app.add_option("--http-url", config.http_url,
                 "URL by which others reach the files, such as https://files.example, when a "
                 "server with TLS stands before --http-listen")
      ->envname("REGISTRY_HTTP_URL");
  app.add_option("--folder", config.folder, "Folder of the database and the files")
      ->envname("REGISTRY_FOLDER")
      ->capture_default_str();
  app.add_option("--max-storage-mb", config.storage_mb_max, "Most that all files take, in MiB")
      ->envname("REGISTRY_MAX_STORAGE_MB")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  app.add_option("--disk-reserve-mb", config.reserve_mb, "MiB of the disk that stay free")
      ->envname("REGISTRY_DISK_RESERVE_MB")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app.add_option("--node-ttl-secs", config.node_ttl_seconds,
                 "How long a node is listed without a heartbeat")
      ->envname("REGISTRY_NODE_TTL_SECS")
      ->check(CLI::Range(3, 86400))
      ->capture_default_str();
  app.add_option("--owner", config.owners,
                 "Wallet address that may create subnets; repeat for more. Everybody may when none "
                 "is given");
  app.add_option("--name", config.names,
                 "HOST:PORT by which nodes reach the registry; repeat for more. A proof made for "
                 "any other is refused. Needed when --listen is not a loopback address");
  app.add_option("--log", config.log_filter,
                 "Log filter: LEVEL or TARGET=LEVEL, comma separated (also: RUST_LOG)")
      ->envname("COMPUTE_NODE_LOG");
  if (CommandLineResult result = ParseCommandLine(app, argc, argv); !result.proceed) {
    return result.exit;
  }
  return config;
}

}  // namespace ncn::config
