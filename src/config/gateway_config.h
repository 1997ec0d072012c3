#pragma once

#include <cstdint>
#include <string>

#include "config/command_line.h"

namespace ncn::config {

// Everything that `reference_gateway` can be told. Parsed once; immutable afterwards.
struct GatewayConfig {
  std::string listen_address = "127.0.0.1:50051";
  std::uint32_t message_mb_max = 256;
  std::uint32_t queue_timeout_seconds = 30;
  std::uint32_t tasks_max = 4096;
  std::string log_filter;
};

// Reads the command line and the environment: flag > environment > default.
Parsed<GatewayConfig> ParseGatewayConfig(int argc, char** argv, const char* version);

}  // namespace ncn::config
