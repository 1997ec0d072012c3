#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <optional>
#include <sstream>
#include <thread>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::sandbox {
namespace {

constexpr int kRemoveTries = 200;
constexpr std::chrono::milliseconds kRemovePause{5};
constexpr char kPrefix[] = "ncn-";
constexpr std::size_t kProcFileBytesMax = 1 << 20;
constexpr std::array kControllersV1 = {"memory", "pids", "cpu"};
// A sandbox competes with the node for the processor; the node must stay responsive.
constexpr char kCpuSharesV1[] = "256";
constexpr char kCpuWeightV2[] = "25";

absl::Status WriteSetting(const std::string& folder, const char* name, std::string_view value) {
  const std::string path = folder + "/" + name;
  const base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid() || ::write(file.get(), value.data(), value.size()) < 0) {
    return base::ErrnoStatus(errno, "write of " + path);
  }
  return absl::OkStatus();
}

// The number after `key` in a file of lines "key number".
std::uint64_t ReadNumber(const std::string& path, std::string_view key) {
  const absl::StatusOr<std::string> text = base::ReadFile(path, kProcFileBytesMax);
  if (!text.ok()) return 0;
  std::istringstream lines(*text);
  std::string word;
  std::uint64_t value = 0;
  while (lines >> word >> value) {
    if (word == key) return value;
  }
  return 0;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

bool HasWord(std::string_view list, std::string_view word, char separator) {
  while (!list.empty()) {
    const std::size_t end = list.find(separator);
    if (list.substr(0, end) == word) return true;
    if (end == std::string_view::npos) return false;
    list.remove_prefix(end + 1);
  }
  return false;
}

struct MountPoint {
  std::string root;
  std::string folder;
};

// The mount of a cgroup file system of `type` that has `controller` among its options (v1).
std::optional<MountPoint> FindMount(const std::string& mounts, std::string_view type,
                                    std::string_view controller) {
  for (const std::string& line : Lines(mounts)) {
    std::istringstream fields(line);
    std::string id, parent, device, root, folder, word;
    fields >> id >> parent >> device >> root >> folder;
    while (fields >> word && word != "-") {
    }
    std::string found_type, source, options;
    fields >> found_type >> source >> options;
    if (found_type != type) continue;
    if (controller.empty() || HasWord(options, controller, ',')) return MountPoint{root, folder};
  }
  return std::nullopt;
}

// The path of the caller's own group: "<n>:<controllers>:<path>" in /proc/self/cgroup.
std::optional<std::string> OwnGroup(const std::string& own, std::string_view controller,
                                    std::string& controllers) {
  for (const std::string& line : Lines(own)) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : HasWord(controllers, controller, ',')) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

// `group` as a folder below a mount of `mount.root`.
std::string Below(const MountPoint& mount, const std::string& group) {
  std::string relative = group;
  if (mount.root != "/" && group.rfind(mount.root, 0) == 0) {
    relative = group.substr(mount.root.size());
  }
  return relative == "/" ? mount.folder : mount.folder + relative;
}

std::string Join(const std::string& group, const std::string& name) {
  return group == "/" ? "/" + name : group + "/" + name;
}

// Removes what nodes that no longer live left below `parent`.
void SweepLeftovers(const std::string& parent) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename();
    int pid = 0;
    if (name.rfind(kPrefix, 0) != 0) continue;
    std::from_chars(name.data() + sizeof(kPrefix) - 1, name.data() + name.size(), pid);
    if (pid <= 0 || ::kill(pid, 0) == 0 || errno != ESRCH) continue;
    for (const auto& inner : std::filesystem::directory_iterator(entry.path(), ignored)) {
      if (inner.is_directory(ignored)) ::rmdir(inner.path().c_str());
    }
    ::rmdir(entry.path().c_str());
  }
}

absl::Status SetLimitsV1(const std::string& controller, const std::string& folder,
                         const inference::ExecutionLimits& limits) {
  if (controller == "memory") {
    const std::string bytes = std::to_string(limits.memory_bytes);
    RETURN_IF_ERROR(WriteSetting(folder, "memory.limit_in_bytes", bytes));
    // Without swap accounting there is no such file; without swap no need of it.
    (void)WriteSetting(folder, "memory.memsw.limit_in_bytes", bytes);
    return absl::OkStatus();
  }
  // One more for the mini-init.
  if (controller == "pids") {
    return WriteSetting(folder, "pids.max", std::to_string(limits.processes + 1));
  }
  return WriteSetting(folder, "cpu.shares", kCpuSharesV1);
}

absl::Status SetLimitsV2(const std::string& folder, const inference::ExecutionLimits& limits) {
  RETURN_IF_ERROR(WriteSetting(folder, "memory.max", std::to_string(limits.memory_bytes)));
  (void)WriteSetting(folder, "memory.swap.max", "0");
  (void)WriteSetting(folder, "memory.oom.group", "1");
  (void)WriteSetting(folder, "cpu.weight", kCpuWeightV2);
  return WriteSetting(folder, "pids.max", std::to_string(limits.processes + 1));
}

// One node may have several trees, and must not remove another's.
std::string UniqueName() {
  static std::atomic<int> counter = 0;
  return base::StrCat(kPrefix, ::getpid(), "-", ++counter);
}

}  // namespace

Cgroup::~Cgroup() {
  members_.clear();
  for (const Place& place : places_) {
    // A process whose maker was killed may still be on its way out.
    for (int i = 0; ::rmdir(place.folder.c_str()) != 0 && errno == EBUSY && i < kRemoveTries; ++i) {
      std::this_thread::sleep_for(kRemovePause);
    }
  }
}

std::uint64_t Cgroup::MemoryKills() const {
  return ReadNumber(places_[0].folder + (v2_ ? "/memory.events" : "/memory.oom_control"),
                    "oom_kill");
}

std::uint64_t Cgroup::PeakMemoryBytes() const {
  std::call_once(peak_opened_, [this] {
    const std::string path =
        places_[0].folder + (v2_ ? "/memory.peak" : "/memory.max_usage_in_bytes");
    peak_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  });
  std::array<char, 32> text;
  const ssize_t size = ::pread(peak_.get(), text.data(), text.size(), 0);
  std::uint64_t bytes = 0;
  if (size > 0) std::from_chars(text.data(), text.data() + size, bytes);
  return bytes;
}

bool Cgroup::Holds(std::string_view proc_cgroup) const {
  for (const Place& place : places_) {
    if (proc_cgroup.find(":" + place.membership + "\n") == std::string_view::npos) return false;
  }
  return true;
}

absl::Status CgroupTree::UseVersion1(const std::string& mounts, const std::string& own) {
  const std::string name = UniqueName();
  for (const char* controller : kControllersV1) {
    const std::optional<MountPoint> mount = FindMount(mounts, "cgroup", controller);
    std::string controllers;
    const std::optional<std::string> group = OwnGroup(own, controller, controllers);
    const bool optional = std::string_view(controller) == "cpu";
    if (!mount.has_value() || !group.has_value()) {
      if (optional) continue;
      return absl::NotFoundError(base::StrCat("no cgroup v1 hierarchy for ", controller));
    }
    const std::string parent = Below(*mount, *group);
    SweepLeftovers(parent);
    const std::string folder = parent + "/" + name;
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return base::ErrnoStatus(errno, "mkdir of " + folder);
    }
    hierarchies_.push_back({controller, folder, controllers + ":" + Join(*group, name)});
  }
  return absl::OkStatus();
}

absl::Status CgroupTree::UseVersion2(const std::string& mounts, const std::string& own) {
  const std::optional<MountPoint> mount = FindMount(mounts, "cgroup2", "");
  std::string controllers;
  const std::optional<std::string> group = OwnGroup(own, "", controllers);
  if (!mount.has_value() || !group.has_value()) return absl::NotFoundError("no cgroup v2");
  const std::string parent = Below(*mount, *group);
  ASSIGN_OR_RETURN(const std::string offered,
                   base::ReadFile(parent + "/cgroup.controllers", kProcFileBytesMax));
  const std::string_view list(offered.data(), offered.find('\n'));
  if (!HasWord(list, "memory", ' ') || !HasWord(list, "pids", ' ')) {
    return absl::NotFoundError(
        base::StrCat(parent, " has no memory and pids controllers (systemd: Delegate=yes)"));
  }
  SweepLeftovers(parent);
  // A group with processes of its own may not share controllers out, except the root: the node
  // moves into a group beside those of its sandboxes.
  const std::string name = UniqueName();
  const std::string folder = parent + "/" + name;
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return base::ErrnoStatus(errno, "mkdir of " + folder);
  }
  v2_ = true;
  hierarchies_.push_back({"", folder, ":" + Join(*group, name)});
  if (*group != "/") {
    const std::string leaf = parent + "/ncn-node";
    if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) {
      return base::ErrnoStatus(errno, "mkdir of " + leaf);
    }
    RETURN_IF_ERROR(WriteSetting(leaf, "cgroup.procs", "0"));
  }
  const std::string_view wanted =
      HasWord(list, "cpu", ' ') ? "+memory +pids +cpu" : "+memory +pids";
  RETURN_IF_ERROR(WriteSetting(parent, "cgroup.subtree_control", wanted));
  return WriteSetting(folder, "cgroup.subtree_control", wanted);
}

absl::StatusOr<std::unique_ptr<CgroupTree>> CgroupTree::Create() {
  ASSIGN_OR_RETURN(const std::string mounts,
                   base::ReadFile("/proc/self/mountinfo", kProcFileBytesMax));
  ASSIGN_OR_RETURN(const std::string own, base::ReadFile("/proc/self/cgroup", kProcFileBytesMax));
  std::unique_ptr<CgroupTree> tree(new CgroupTree);
  const absl::Status v2 = tree->UseVersion2(mounts, own);
  if (v2.ok()) return tree;
  tree.reset(new CgroupTree);
  const absl::Status v1 = tree->UseVersion1(mounts, own);
  if (v1.ok()) return tree;
  return absl::Status(v1.code(), base::StrCat("v2: ", base::ToStd(v2.message()),
                                              "; v1: ", base::ToStd(v1.message())));
}

CgroupTree::~CgroupTree() {
  for (const Hierarchy& hierarchy : hierarchies_) ::rmdir(hierarchy.folder.c_str());
}

absl::StatusOr<std::unique_ptr<Cgroup>> CgroupTree::Make(const inference::ExecutionLimits& limits) {
  static std::atomic<std::uint64_t> counter = 0;
  const std::string name = std::to_string(++counter);
  std::unique_ptr<Cgroup> group(new Cgroup(v2_));
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string folder = hierarchy.folder + "/" + name;
    if (::mkdir(folder.c_str(), 0755) != 0) {
      return base::ErrnoStatus(errno, "sandbox layer \"resource limits\": mkdir of " + folder);
    }
    group->places_.push_back({folder, hierarchy.membership + "/" + name});
    RETURN_IF_ERROR(v2_ ? SetLimitsV2(folder, limits)
                        : SetLimitsV1(hierarchy.controller, folder, limits));
    const std::string path = folder + (v2_ ? "/cgroup.procs" : "/tasks");
    base::UniqueFd members(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!members.valid()) return base::ErrnoStatus(errno, "open of " + path);
    group->members_.push_back(std::move(members));
  }
  return group;
}

std::vector<std::string> CgroupTree::Layers() const {
  if (v2_) return {"cgroup-v2"};
  std::vector<std::string> layers;
  for (const Hierarchy& hierarchy : hierarchies_) {
    layers.push_back("cgroup-v1-" + hierarchy.controller);
  }
  return layers;
}

std::vector<std::string> CgroupTree::Folders() const {
  std::vector<std::string> folders;
  for (const Hierarchy& hierarchy : hierarchies_) folders.push_back(hierarchy.folder);
  return folders;
}

}  // namespace ncn::sandbox
