// reference_registry: keeps the metadata of subnets and the files of their models, and lists nodes.

#include <signal.h>

#include <cstdio>

#include "base/logging.h"
#include "base/status_macros.h"
#include "config/registry_config.h"
#include "reference/registry.h"

namespace ncn::apps {
namespace {

absl::Status Run(const config::RegistryConfig& config) {
  RETURN_IF_ERROR(base::ConfigureLogging(config.log_filter));
  sigset_t stop_signals;
  ::sigemptyset(&stop_signals);
  ::sigaddset(&stop_signals, SIGINT);
  ::sigaddset(&stop_signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &stop_signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  reference::RegistryOptions options;
  options.listen_address = config.listen_address;
  options.http_listen_address = config.http_listen_address;
  options.http_url = config.http_url;
  options.folder = config.folder;
  options.storage_bytes_max = std::uint64_t{config.storage_mb_max} << 20;
  options.free_bytes_reserve = std::uint64_t{config.reserve_mb} << 20;
  options.node_time_to_live = std::chrono::seconds(config.node_ttl_seconds);
  options.owners = config.owners;
  options.names = config.names;
  ASSIGN_OR_RETURN(const auto registry, reference::ReferenceRegistry::Start(options));
  std::printf("✓ Registry listening on %s\n", registry->address().c_str());
  if (const std::string http = registry->http_address(); !http.empty()) {
    std::printf("  Files at %s/files/SHA256\n", http.c_str());
  }
  std::printf("  Kept in %s\n", config.folder.c_str());
  std::fflush(stdout);

  int signal = 0;
  ::sigwait(&stop_signals, &signal);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ncn::apps

int main(int argc, char** argv) {
  const auto parsed = ncn::config::ParseRegistryConfig(argc, argv, NCN_VERSION);
  if (const auto* exit = std::get_if<ncn::config::ExitText>(&parsed)) {
    return ncn::config::PrintExit(*exit);
  }
  const absl::Status status = ncn::apps::Run(std::get<ncn::config::RegistryConfig>(parsed));
  if (status.ok()) return 0;
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  return 1;
}
