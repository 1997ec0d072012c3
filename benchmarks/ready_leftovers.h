#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ncn::benchmarks {

// All processes below this one with their depth: launcher 1, mini-inits 2, zygotes and cold
// sandboxes 3, ready children 4.
std::vector<std::pair<int, int>> Descendants();

// Whether a process is a zygote or a zygote's child; neither is a cold sandbox.
bool IsOfZygote(int pid);

// What sandboxes could leave behind, in this process and on the machine.
struct Leftovers {
  std::int64_t resident_kib = 0;
  std::int64_t descriptors = 0;
  std::int64_t threads = 0;
  std::int64_t processes = 0;           // Below the launcher.
  std::int64_t control_groups = 0;      // Of our name, with all below them; -1: not readable.
  std::multiset<std::string> mounts{};  // Of this process.

  static Leftovers Look();
  nlohmann::json GrowthTo(const Leftovers& after) const;
  // Whether nothing but memory and descriptors, which have bounds of their own, has grown.
  bool GoneAt(const Leftovers& after) const;
};

}  // namespace ncn::benchmarks
