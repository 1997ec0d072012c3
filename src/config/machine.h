#pragma once

#include <cstdint>
#include <filesystem>

namespace ncn::config {

// What a node may use of the machine.
struct Machine {
  std::uint32_t cores = 1;
  std::uint64_t memory_mb = 0;  // MiB; 0 when nobody says.
};

// The cores that this process may run on; the memory of the machine, or less where a control group
// (version 1 or 2) of this process or above it has a limit. `root` is where /proc and /sys are.
Machine ThisMachine(const std::filesystem::path& root = "/");

// Requests executed at once: as many as `wanted`; when that is 0, one for each core, but no more
// than memory has room for when each uses `memory_mb_max`. At least one.
std::uint32_t SlotsFor(const Machine& machine, std::uint32_t wanted, std::uint32_t memory_mb_max);

// Threads that one request computes with: as many as `wanted`; when that is 0, the cores shared out
// among the slots. At least one.
std::uint32_t ThreadsFor(const Machine& machine, std::uint32_t wanted, std::uint32_t slots);

}  // namespace ncn::config
