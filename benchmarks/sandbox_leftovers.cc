#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/files.h"
#include "benchmarks/sandbox_benchmark.h"

namespace ncn::benchmarks {
namespace {

namespace fs = std::filesystem;

constexpr int kSettledAfter = 500;  // Runs after which memory must no longer grow.
constexpr std::int64_t kGrowthKibMax = 1024;
constexpr std::size_t kProcFileBytesMax = 16 << 20;

// The number after `key` in /proc/PID/status.
std::int64_t StatusNumber(int pid, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; file >> word;) {
    std::int64_t value = -1;
    if (word == key && file >> value) return value;
  }
  return -1;
}

// The processes whose parent is `pid`.
std::vector<int> ChildrenOf(int pid) {
  std::vector<int> children;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    int child = 0;
    std::from_chars(name.data(), name.data() + name.size(), child);
    if (child > 0 && StatusNumber(child, "PPid:") == pid) children.push_back(child);
  }
  return children;
}

std::int64_t DescriptorsOf(int pid) {
  std::error_code error;
  const fs::directory_iterator folder("/proc/" + std::to_string(pid) + "/fd", error);
  return error ? -1 : std::distance(begin(folder), end(folder));
}

std::multiset<std::string> Mounts() {
  std::istringstream lines(base::ReadFile("/proc/self/mountinfo", kProcFileBytesMax).value_or(""));
  std::multiset<std::string> mounts;
  for (std::string line; std::getline(lines, line);) mounts.insert(line);
  return mounts;
}

// Our control groups: the folders of our name, and all below them. Others' come and go while we
// look, which ends the walk: -1 when that happens every time.
std::int64_t ControlGroups() {
  const std::string ours = "/ncn-" + std::to_string(::getpid()) + "-";
  constexpr int kAttempts = 20;
  for (int i = 0; i < kAttempts; ++i) {
    std::int64_t count = 0;
    std::error_code error;
    fs::recursive_directory_iterator entry("/sys/fs/cgroup", error);
    const fs::recursive_directory_iterator last;
    for (; !error && entry != last; entry.increment(error)) {
      std::error_code gone;
      if (entry->is_directory(gone) && entry->path().native().find(ours) != std::string::npos) {
        ++count;
      }
    }
    if (!error) return count;
  }
  return -1;
}

struct Snapshot {
  std::int64_t own_kib, launcher_kib;
  std::int64_t own_descriptors, launcher_descriptors;
  std::int64_t sandboxes;  // Processes below the launcher.
  std::int64_t control_groups;
  std::multiset<std::string> mounts;
};

Snapshot Look(int launcher) {
  return {StatusNumber(::getpid(), "VmRSS:"),
          StatusNumber(launcher, "VmRSS:"),
          DescriptorsOf(::getpid()),
          DescriptorsOf(launcher),
          static_cast<std::int64_t>(ChildrenOf(launcher).size()),
          ControlGroups(),
          Mounts()};
}

nlohmann::json Growth(const Snapshot& before, const Snapshot& after) {
  std::vector<std::string> mounts;
  std::set_difference(after.mounts.begin(), after.mounts.end(), before.mounts.begin(),
                      before.mounts.end(), std::back_inserter(mounts));
  return {{"own_memory_kib", after.own_kib - before.own_kib},
          {"launcher_memory_kib", after.launcher_kib - before.launcher_kib},
          {"own_descriptors", after.own_descriptors - before.own_descriptors},
          {"launcher_descriptors", after.launcher_descriptors - before.launcher_descriptors},
          // The launcher keeps one mini-init ahead.
          {"sandboxed_processes", std::max<std::int64_t>(after.sandboxes - 1, 0)},
          {"control_groups", after.control_groups - before.control_groups},
          {"mounts", mounts}};
}

// What could not be read must not pass for what did not grow.
bool Readable(const Snapshot& seen) {
  return seen.own_kib > 0 && seen.launcher_kib > 0 && seen.own_descriptors > 0 &&
         seen.launcher_descriptors > 0 && seen.control_groups >= 0 && !seen.mounts.empty();
}

bool Clean(const nlohmann::json& growth) {
  for (const char* memory : {"own_memory_kib", "launcher_memory_kib"}) {
    if (growth[memory].get<std::int64_t>() >= kGrowthKibMax) return false;
  }
  for (const char* counted :
       {"own_descriptors", "launcher_descriptors", "sandboxed_processes", "control_groups"}) {
    if (growth[counted].get<std::int64_t>() != 0) return false;
  }
  return growth["mounts"].empty();
}

}  // namespace

int LookForLeftovers(std::unique_ptr<sandbox::Sandbox> sandbox,
                     const sandbox::SandboxPolicy& policy, int count) {
  const std::vector<int> children = ChildrenOf(::getpid());
  if (children.size() != 1) {
    std::fprintf(stderr, "Error: the launcher cannot be found among our children.\n");
    return 1;
  }
  const int launcher = children[0];
  const auto begun = std::chrono::steady_clock::now();
  const int settled = std::min(kSettledAfter, count / 2);
  Snapshot before{};
  for (int i = 0; i < count; ++i) {
    if (i == settled) before = Look(launcher);
    const auto outcome = sandbox->Run(policy, {.argv = {"/usr/bin/true"}});
    if (!outcome.ok() || !outcome->Succeeded()) {
      std::fprintf(stderr, "Error: sandbox %d: %s\n", i,
                   outcome.ok() ? outcome->Describe().c_str()
                                : std::string(outcome.status().message()).c_str());
      return 1;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  const Snapshot after = Look(launcher);
  const nlohmann::json growth = Growth(before, after);
  sandbox.reset();
  const std::size_t children_left = ChildrenOf(::getpid()).size();
  const std::int64_t groups_left = ControlGroups();
  const bool clean = Readable(before) && Readable(after) && Clean(growth) && children_left == 0 &&
                     groups_left == 0;
  const nlohmann::json figures = {{"sandboxes", count},
                                  {"seconds", took.count()},
                                  {"compared_with_after", settled},
                                  {"growth", growth},
                                  {"own_memory_kib", after.own_kib},
                                  {"launcher_memory_kib", after.launcher_kib},
                                  {"control_groups", after.control_groups},
                                  {"own_descriptors", after.own_descriptors},
                                  {"launcher_descriptors", after.launcher_descriptors},
                                  {"processes_left_at_the_end", children_left},
                                  {"control_groups_left_at_the_end", groups_left},
                                  {"clean", clean}};
  std::printf("%s\n", figures.dump(2).c_str());
  return clean ? 0 : 1;
}

}  // namespace ncn::benchmarks
