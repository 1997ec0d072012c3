#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/command_line.h"

namespace ncn::config {

// Everything that `reference_registry` can be told. Parsed once; immutable afterwards.
struct RegistryConfig {
  std::string listen_address = "127.0.0.1:50050";
  std::string http_listen_address = "127.0.0.1:0";  // Empty: no HTTP.
  std::string http_url;
  std::filesystem::path folder;
  std::uint32_t storage_mb_max = 64 << 10;
  std::uint32_t reserve_mb = 256;
  std::uint32_t node_ttl_seconds = 30;
  std::vector<std::string> owners;
  std::vector<std::string> names;
  std::string log_filter;
};

// Reads the command line and the environment: flag > environment > default.
Parsed<RegistryConfig> ParseRegistryConfig(int argc, char** argv, const char* version);

}  // namespace ncn::config
