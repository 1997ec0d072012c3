#include "config/machine.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <thread>

namespace ncn::config {
namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

// The number that a file begins with; kNoLimit for "max", for no file and for anything else.
std::uint64_t NumberIn(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string word;
  stream >> word;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc() && end == word.data() + word.size() && number > 0 ? number : kNoLimit;
}

// The lowest limit of a group and of those above it. Where a container does not see its place in
// the hierarchy, the top that it sees is its own.
std::uint64_t LowestLimit(const std::filesystem::path& hierarchy, std::string_view group,
                          const char* file) {
  std::uint64_t lowest = kNoLimit;
  for (std::filesystem::path at = std::filesystem::path(group).relative_path();;
       at = at.parent_path()) {
    lowest = std::min(lowest, NumberIn(hierarchy / at / file));
    if (at.empty()) return lowest;
  }
}

// Bytes that the control groups of this process let it use.
std::uint64_t ControlGroupLimit(const std::filesystem::path& root) {
  std::uint64_t lowest = kNoLimit;
  std::ifstream groups(root / "proc/self/cgroup");
  // NUMBER:CONTROLLERS:PATH, without controllers for version 2.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string_view path = std::string_view(line).substr(second + 1);
    if (controllers == ",,") {
      for (const char* place : {"sys/fs/cgroup", "sys/fs/cgroup/unified"}) {
        lowest = std::min(lowest, LowestLimit(root / place, path, "memory.max"));
      }
    } else if (controllers.find(",memory,") != controllers.npos) {
      lowest = std::min(lowest,
                        LowestLimit(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
  }
  return lowest;
}

// Bytes that the machine has.
std::uint64_t MachineMemory(const std::filesystem::path& root) {
  std::ifstream memory(root / "proc/meminfo");
  for (std::string word; memory >> word;) {
    std::uint64_t kib = 0;
    if (word == "MemTotal:" && memory >> kib) return kib << 10;
  }
  return kNoLimit;
}

}  // namespace

Machine ThisMachine(const std::filesystem::path& root) {
  const std::uint64_t bytes = std::min(MachineMemory(root), ControlGroupLimit(root));
  return {.cores = std::max(1u, std::thread::hardware_concurrency()),
          .memory_mb = bytes == kNoLimit ? 0 : bytes >> 20};
}

std::uint32_t SlotsFor(const Machine& machine, std::uint32_t wanted, std::uint32_t memory_mb_max) {
  if (wanted > 0) return wanted;
  const std::uint64_t cores = std::max(1u, machine.cores);
  if (machine.memory_mb == 0) return static_cast<std::uint32_t>(cores);
  const std::uint64_t room = machine.memory_mb / std::max(1u, memory_mb_max);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(room, 1, cores));
}

std::uint32_t ThreadsFor(const Machine& machine, std::uint32_t wanted, std::uint32_t slots) {
  if (wanted > 0) return wanted;
  return std::max(1u, machine.cores / std::max(1u, slots));
}

}  // namespace ncn::config
