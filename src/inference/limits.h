#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ncn::inference {

// What one execution may use. Every field is a bound; none can be switched off.
struct ExecutionLimits {
  std::chrono::milliseconds wall_clock{std::chrono::seconds(300)};
  std::chrono::seconds cpu_time{600};
  std::uint64_t memory_bytes = 4096ULL << 20;
  std::uint64_t output_bytes = 256ULL << 20;
  std::uint64_t workspace_bytes = 1024ULL << 20;  // Everything below /work and /tmp together.
  std::uint32_t workspace_inodes = 16384;
  std::uint32_t processes = 64;  // Threads count.
  std::uint32_t open_files = 1024;
};

// What one request may ask for.
struct RequestLimits {
  std::size_t input_bytes_max = 256ULL << 20;
  std::chrono::milliseconds timeout_max{std::chrono::seconds(300)};
};

}  // namespace ncn::inference
