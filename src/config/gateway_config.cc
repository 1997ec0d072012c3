#include "config/gateway_config.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/strings.h"

namespace ncn::config {

Parsed<GatewayConfig> ParseGatewayConfig(int argc, char** argv, const char* version) {
  GatewayConfig config;
  if (const char* rust_log = std::getenv("RUST_LOG")) config.log_filter = rust_log;
  CLI::App app(
      "A gateway for a network on one machine: hands clients' requests to compute nodes and "
      "verifies every result.",
      "reference_gateway");
  app.set_version_flag("--version", base::StrCat("reference_gateway ", version));
  app.footer(
      "It keeps its tasks in memory and knows no accounts: for trying, testing and examples.");
  app.add_option("--listen", config.listen_address,
                 "HOST:PORT to serve on; port 0 takes a free one")
      ->envname("GATEWAY_LISTEN")
      ->capture_default_str();
  app.add_option("--max-message-mb", config.message_mb_max, "Largest input or output, in MiB")
      ->envname("MAX_MESSAGE_MB")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--queue-timeout-secs", config.queue_timeout_seconds,
                 "How long a request may wait for a node that serves its model")
      ->envname("QUEUE_TIMEOUT_SECS")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  app.add_option("--max-tasks", config.tasks_max, "Requests kept at once, finished ones included")
      ->envname("MAX_TASKS")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--log", config.log_filter,
                 "Log filter: LEVEL or TARGET=LEVEL, comma separated (also: RUST_LOG)")
      ->envname("COMPUTE_NODE_LOG");
  if (CommandLineResult result = ParseCommandLine(app, argc, argv); !result.proceed) {
    return result.exit;
  }
  return config;
}

}  // namespace ncn::config
