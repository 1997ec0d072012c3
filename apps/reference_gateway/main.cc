// reference_gateway: hands clients' requests to compute nodes and verifies what they answer.

#include <signal.h>

#include <cstdio>

#include "base/logging.h"
#include "base/status_macros.h"
#include "config/gateway_config.h"
#include "reference/gateway.h"

namespace ncn::apps {
namespace {

using std::chrono::seconds;

absl::Status Run(const config::GatewayConfig& config) {
  RETURN_IF_ERROR(base::ConfigureLogging(config.log_filter));
  sigset_t stop_signals;
  ::sigemptyset(&stop_signals);
  ::sigaddset(&stop_signals, SIGINT);
  ::sigaddset(&stop_signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &stop_signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  reference::GatewayOptions options;
  options.listen_address = config.listen_address;
  options.connection.payload_bytes_max = std::size_t{config.message_mb_max} << 20;
  options.broker.tasks_max = config.tasks_max;
  options.broker.queue_timeout = seconds(config.queue_timeout_seconds);
  options.version = NCN_VERSION;
  ASSIGN_OR_RETURN(const auto gateway, reference::ReferenceGateway::Start(options));
  std::printf("✓ Gateway listening on %s\n", gateway->address().c_str());
  std::fflush(stdout);

  int signal = 0;
  ::sigwait(&stop_signals, &signal);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ncn::apps

int main(int argc, char** argv) {
  const auto parsed = ncn::config::ParseGatewayConfig(argc, argv, NCN_VERSION);
  if (const auto* exit = std::get_if<ncn::config::ExitText>(&parsed)) {
    return ncn::config::PrintExit(*exit);
  }
  const absl::Status status = ncn::apps::Run(std::get<ncn::config::GatewayConfig>(parsed));
  if (status.ok()) return 0;
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  return 1;
}
