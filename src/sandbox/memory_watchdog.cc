#include "sandbox/memory_watchdog.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"

namespace ncn::sandbox {
namespace {

constexpr std::size_t kProcFileBytesMax = 1 << 20;
constexpr std::size_t kProcessesMax = 65536;

// "Key:   123 kB" in /proc/PID/status, in bytes.
std::uint64_t StatusBytes(const std::string& status, std::string_view key) {
  const std::size_t at = status.find("\n" + std::string(key) + ":");
  if (at == std::string::npos) return 0;
  const std::size_t digits = status.find_first_of("0123456789", at);
  std::uint64_t kib = 0;
  if (digits != std::string::npos) {
    std::from_chars(status.data() + digits, status.data() + status.size(), kib);
  }
  return kib * 1024;
}

}  // namespace

std::uint64_t MeasureTreeMemory(pid_t init_pid, int work_folder) {
  std::vector<std::string> pids = {std::to_string(init_pid)};
  std::uint64_t anonymous = 0, shared_most = 0;
  for (std::size_t i = 0; i < pids.size() && i < kProcessesMax; ++i) {
    const std::string proc = "/proc/" + pids[i];
    const auto status = base::ReadFile(proc + "/status", kProcFileBytesMax);
    if (!status.ok()) continue;
    anonymous += StatusBytes(*status, "RssAnon");
    shared_most = std::max(shared_most, StatusBytes(*status, "RssShmem"));
    // Of every thread: a child forked by another than the first is listed there only.
    std::error_code ignored;
    for (const auto& task : std::filesystem::directory_iterator(proc + "/task", ignored)) {
      const auto children = base::ReadFile(task.path() / "children", kProcFileBytesMax);
      if (!children.ok()) continue;
      std::istringstream words(*children);
      for (std::string pid; words >> pid;) pids.push_back(pid);
    }
  }
  struct statvfs space {};
  std::uint64_t files = 0;
  if (::fstatvfs(work_folder, &space) == 0)
    files = (space.f_blocks - space.f_bfree) * space.f_frsize;
  return anonymous + shared_most + files;
}

}  // namespace ncn::sandbox
