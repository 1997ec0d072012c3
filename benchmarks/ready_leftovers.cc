#include "benchmarks/ready_leftovers.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "base/files.h"
#include "base/strings.h"

namespace ncn::benchmarks {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kProcFileBytesMax = 16 << 20;
constexpr int kWalkAttempts = 20;  // Others' control groups come and go, which ends a walk.

std::multimap<int, int> ChildrenByParent() {
  std::multimap<int, int> children;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    int pid = 0;
    std::from_chars(name.data(), name.data() + name.size(), pid);
    const auto stat =
        pid > 0 ? base::ReadFile(entry.path() / "stat", 4096) : absl::NotFoundError("");
    if (!stat.ok()) continue;
    int parent = 0;
    std::istringstream(stat->substr(stat->rfind(')') + 3)) >> parent;
    children.emplace(parent, pid);
  }
  return children;
}

void AddBelow(const std::multimap<int, int>& children, int pid, int depth,
              std::vector<std::pair<int, int>>& found) {
  const auto [begin, end] = children.equal_range(pid);
  for (auto at = begin; at != end; ++at) {
    found.emplace_back(at->second, depth);
    AddBelow(children, at->second, depth + 1, found);
  }
}

std::int64_t StatusNumber(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t value = 0;
    if (word == key && status >> value) return value;
  }
  return -1;
}

std::int64_t ControlGroups() {
  const std::string ours = base::StrCat("/ncn-", ::getpid(), "-");
  for (int i = 0; i < kWalkAttempts; ++i) {
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

}  // namespace

std::vector<std::pair<int, int>> Descendants() {
  std::vector<std::pair<int, int>> found;
  AddBelow(ChildrenByParent(), ::getpid(), 1, found);
  return found;
}

bool IsOfZygote(int pid) {
  // A child has the words of the zygote that it was forked from.
  const auto command = base::ReadFile(base::StrCat("/proc/", pid, "/cmdline"), 4096);
  return command.ok() && command->find("--doorbell") != std::string::npos;
}

Leftovers Leftovers::Look() {
  Leftovers seen;
  seen.resident_kib = StatusNumber("VmRSS:");
  seen.threads = StatusNumber("Threads:");
  seen.descriptors = std::distance(fs::directory_iterator("/proc/self/fd"), {});
  for (const auto& [pid, depth] : Descendants()) seen.processes += depth >= 2 ? 1 : 0;
  seen.control_groups = ControlGroups();
  std::istringstream lines(base::ReadFile("/proc/self/mountinfo", kProcFileBytesMax).value_or(""));
  for (std::string line; std::getline(lines, line);) seen.mounts.insert(line);
  return seen;
}

nlohmann::json Leftovers::GrowthTo(const Leftovers& after) const {
  std::vector<std::string> more;
  std::set_difference(after.mounts.begin(), after.mounts.end(), mounts.begin(), mounts.end(),
                      std::back_inserter(more));
  return {{"threads", after.threads - threads},
          {"processes", after.processes - processes},
          {"control_groups", after.control_groups - control_groups},
          {"mounts", more}};
}

bool Leftovers::GoneAt(const Leftovers& after) const {
  const bool read = control_groups >= 0 && after.control_groups >= 0 && threads > 0 &&
                    after.threads > 0 && !mounts.empty();
  return read && after.threads <= threads && after.processes <= processes &&
         after.control_groups <= control_groups &&
         std::includes(mounts.begin(), mounts.end(), after.mounts.begin(), after.mounts.end());
}

}  // namespace ncn::benchmarks
