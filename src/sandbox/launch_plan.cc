#include "sandbox/launch_plan.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/workspace.h"

namespace ncn::sandbox {

const std::uint32_t kAllNamespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                     CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

namespace {

constexpr std::uint32_t kNobody = 65534;
constexpr std::array kRootEntries = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};
constexpr char kPasswd[] = "sandbox:x:1000:1000:sandbox:/work:/usr/sbin/nologin\n";
constexpr std::array kReadableProc = {"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"};
constexpr std::array kOpenDevices = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                     "/dev/urandom"};
// Address space is no memory: torch reserves several times what it touches. Real memory is bounded
// by the control group or the watchdog; this bounds what a bug can map.
constexpr std::uint64_t kAddressSpaceFactor = 4;
constexpr std::uint64_t kAddressSpaceBase = 8ULL << 30;
#ifdef NCN_SANITIZED
// AddressSanitizer has mapped more than any bound before the command begins.
constexpr bool kBoundAddressSpace = false;
#else
constexpr bool kBoundAddressSpace = true;
#endif
constexpr std::uint64_t kLockedBytesMax = 64 << 10;
constexpr std::size_t kSysFileBytesMax = 4096;

// Whether the sandbox's host user may read what is at `seen`, as far as the mode tells.
bool MayRead(const struct stat& seen, const SandboxIdentity& who) {
  const mode_t bits = S_ISDIR(seen.st_mode) ? 05 : 04;
  const unsigned shift = seen.st_uid == who.host_uid ? 6 : seen.st_gid == who.host_gid ? 3 : 0;
  return ((seen.st_mode >> shift) & bits) == bits;
}

absl::Status AddBind(LaunchRequest& request, const std::string& host_path,
                     const std::string& inside_path, bool executable) {
  struct stat seen {};
  if (::lstat(host_path.c_str(), &seen) != 0) {
    return base::ErrnoStatus(errno, "sandbox layer \"mount namespace\": " + host_path);
  }
  if (!S_ISDIR(seen.st_mode) && !S_ISREG(seen.st_mode)) {
    return absl::InvalidArgumentError(base::StrCat("sandbox layer \"mount namespace\": ", host_path,
                                                   " is neither a file nor a folder"));
  }
  if (!MayRead(seen, {request.host_uid, request.host_gid})) {
    return absl::PermissionDeniedError(
        base::StrCat("sandbox layer \"mount namespace\": ", host_path,
                     " is not readable for the sandbox's user ", request.host_uid,
                     ". Make it so: chmod o+rX ", host_path));
  }
  request.binds.push_back(
      {host_path, inside_path, seen.st_dev, seen.st_ino, S_ISDIR(seen.st_mode), executable});
  return absl::OkStatus();
}

// The host's /etc is full of what is none of a sandbox's business: only the harmless entries.
absl::Status PlanHostEtc(LaunchRequest& request, const std::vector<std::string>& entries) {
  for (const std::string& entry : entries) {
    const std::string path = "/etc/" + entry;
    struct stat seen {};
    if (::lstat(path.c_str(), &seen) != 0) continue;
    if (!S_ISLNK(seen.st_mode)) {
      RETURN_IF_ERROR(AddBind(request, path, path, false));
      continue;
    }
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(path, error).native();
    if (!error && entry.find('/') == std::string::npos) request.symlinks.push_back({path, target});
  }
  request.files.push_back({"/etc/passwd", kPasswd});
  return absl::OkStatus();
}

// What malloc looks for before it asks for huge pages, of which a fork copies fewer tables.
void PlanHugePages(LaunchRequest& request) {
  for (const char* name : {"enabled", "hpage_pmd_size"}) {
    const std::string path = base::StrCat("/sys/kernel/mm/transparent_hugepage/", name);
    auto text = base::ReadFile(path, kSysFileBytesMax);
    if (text.ok()) request.files.push_back({path, *std::move(text)});
  }
}

absl::Status PlanRoot(LaunchRequest& request, const SandboxPolicy& policy) {
  const std::string base = policy.uses_host_system() ? "" : policy.root();
  for (const char* name : kRootEntries) {
    const std::string inside = std::string("/") + name;
    const std::string host = base + inside;
    struct stat seen {};
    if (::lstat(host.c_str(), &seen) != 0) continue;
    if (S_ISLNK(seen.st_mode)) {
      std::error_code error;
      const std::string target = std::filesystem::read_symlink(host, error).native();
      if (!error) request.symlinks.push_back({inside, target});
    } else if (S_ISDIR(seen.st_mode)) {
      RETURN_IF_ERROR(AddBind(request, host, inside, true));
      request.landlock_paths.push_back({inside, LandlockAccess::kExecute});
    }
  }
  return absl::OkStatus();
}

bool AnyBindIn(const SandboxPolicy& policy, std::string_view folder) {
  for (const ReadOnlyBind& bind : policy.binds()) {
    if (std::string_view(bind.inside_path).substr(0, folder.size()) == folder) return true;
  }
  return false;
}

absl::Status PlanTree(LaunchRequest& request, const SandboxPolicy& policy) {
  RETURN_IF_ERROR(PlanRoot(request, policy));
  if (policy.uses_host_system()) {
    RETURN_IF_ERROR(PlanHostEtc(request, policy.etc_entries()));
  } else {
    RETURN_IF_ERROR(AddBind(request, policy.root() + "/etc", "/etc", false));
    const std::string opt = policy.root() + "/opt";
    if (std::filesystem::is_directory(std::filesystem::symlink_status(opt)) &&
        !AnyBindIn(policy, "/opt")) {
      RETURN_IF_ERROR(AddBind(request, opt, "/opt", true));
      request.landlock_paths.push_back({"/opt", LandlockAccess::kExecute});
    }
  }
  for (const std::string& entry : policy.etc_entries()) {
    request.landlock_paths.push_back({"/etc/" + entry, LandlockAccess::kRead});
  }
  for (const ReadOnlyBind& bind : policy.binds()) {
    RETURN_IF_ERROR(AddBind(request, bind.host_path, bind.inside_path, bind.executable));
    request.landlock_paths.push_back(
        {bind.inside_path, bind.executable ? LandlockAccess::kExecute : LandlockAccess::kRead});
  }
  if (policy.profile() == SeccompProfile::kZygote) PlanHugePages(request);
  for (const char* path : {kWorkFolder, kTemporaryFolder, kSharedMemoryFolder}) {
    request.landlock_paths.push_back({path, LandlockAccess::kWrite});
  }
  return absl::OkStatus();
}

void PlanCommon(LaunchRequest& request, const inference::ExecutionLimits& limits) {
  const SandboxIdentity who = IdentityForCaller();
  request.inside_uid = request.inside_gid = kInsideUid;
  request.host_uid = who.host_uid;
  request.host_gid = who.host_gid;
  request.workspace_bytes = limits.workspace_bytes;
  request.workspace_inodes = limits.workspace_inodes;
  request.working_folder = kWorkFolder;
  for (const char* path : kReadableProc) {
    request.landlock_paths.push_back({path, LandlockAccess::kRead});
  }
  for (const char* path : kOpenDevices) {
    request.landlock_paths.push_back({path, LandlockAccess::kDevice});
  }
  const auto cpu = static_cast<std::uint64_t>(limits.cpu_time.count());
  const std::uint64_t address_space =
      kBoundAddressSpace ? limits.memory_bytes * kAddressSpaceFactor + kAddressSpaceBase
                         : RLIM_INFINITY;
  const std::uint64_t processes = limits.processes + 1ULL;  // The mini-init is one.
  request.rlimits = {
      {RLIMIT_AS, address_space, address_space},
      // A second between the signal that tells and the one that kills.
      {RLIMIT_CPU, cpu, cpu + 1},
      {RLIMIT_NPROC, processes, processes},
      {RLIMIT_NOFILE, limits.open_files, limits.open_files},
      {RLIMIT_FSIZE, limits.output_bytes, limits.output_bytes},
      // One byte, which is no file and, unlike 0, no core for the handler of a core_pattern either.
      {RLIMIT_CORE, 1, 1},
      {RLIMIT_MEMLOCK, kLockedBytesMax, kLockedBytesMax},
      {RLIMIT_MSGQUEUE, 0, 0},
  };
  // The node's own hard limits cannot be exceeded; less is stricter.
  for (Rlimit& limit : request.rlimits) {
    rlimit own{};
    if (::getrlimit(static_cast<__rlimit_resource>(limit.resource), &own) != 0) continue;
    limit.hard = std::min<std::uint64_t>(limit.hard, own.rlim_max);
    limit.soft = std::min(limit.soft, limit.hard);
  }
}

}  // namespace

SandboxIdentity IdentityForCaller() {
  if (::geteuid() == 0) return {kNobody, kNobody};
  return {::geteuid(), ::getegid()};
}

inference::ExecutionLimits LimitsOfRun(inference::ExecutionLimits limits,
                                       const SandboxCommand& command) {
  if (command.lifetime.count() > 0) limits.wall_clock = command.lifetime;
  if (command.wall_clock_max.count() > 0) {
    limits.wall_clock = std::min(limits.wall_clock, command.wall_clock_max);
  }
  return limits;
}

absl::Status CheckCommand(const SandboxCommand& command) {
  if (command.argv.empty() || command.argv[0].empty() || command.argv[0].front() != '/') {
    return absl::InvalidArgumentError("a sandboxed command needs the absolute path of its program");
  }
  for (const std::string& variable : command.environment) {
    if (variable.find('=') == std::string::npos) {
      return absl::InvalidArgumentError("an environment variable has no \"=\"");
    }
  }
  for (const SandboxCommand::OutputFile& file : command.collect) {
    if (!IsFileName(file.name)) {
      return absl::InvalidArgumentError(
          base::StrCat("\"", file.name, "\" cannot be a file of the workspace"));
    }
  }
  return absl::OkStatus();
}

CloneRequest PlanClone(std::uint32_t namespaces) {
  const SandboxIdentity who = IdentityForCaller();
  return {namespaces, kInsideUid, kInsideUid, who.host_uid, who.host_gid, 0};
}

absl::StatusOr<LaunchRequest> PlanLaunch(const SandboxPolicy& policy,
                                         const SandboxCommand& command) {
  LaunchRequest request;
  request.argv = command.argv;
  request.environment = command.environment;
  request.namespaces = kAllNamespaces;
  request.makes_sandboxes = policy.profile() == SeccompProfile::kZygote;
  PlanCommon(request, policy.limits());
  RETURN_IF_ERROR(PlanTree(request, policy));
  return request;
}

std::vector<PathMapping> ViewOf(const SandboxPolicy& policy) {
  std::vector<PathMapping> view;
  for (const ReadOnlyBind& bind : policy.binds())
    view.push_back({bind.host_path, bind.inside_path});
  view.push_back({policy.uses_host_system() ? "" : policy.root(), ""});
  std::ranges::stable_sort(view, std::greater(),
                           [](const PathMapping& m) { return m.host.size(); });
  return view;
}

absl::Status SeeFromZygote(const std::vector<PathMapping>& view, LaunchRequest& request) {
  for (BindMount& bind : request.binds) {
    const auto shown = std::ranges::find_if(view, [&](const PathMapping& mapping) {
      return bind.host_path.compare(0, mapping.host.size(), mapping.host) == 0 &&
             (bind.host_path.size() == mapping.host.size() ||
              bind.host_path[mapping.host.size()] == '/');
    });
    if (shown == view.end()) {
      return absl::PermissionDeniedError(base::StrCat("the zygote does not show ", bind.host_path));
    }
    bind.host_path = shown->inside + bind.host_path.substr(shown->host.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<base::UniqueFd> OpenHostPath(const std::vector<ReadOnlyBind>& binds,
                                            const std::string& inside_path) {
  const auto bind = std::ranges::find(binds, inside_path, &ReadOnlyBind::inside_path);
  if (bind == binds.end()) {
    return absl::NotFoundError(base::StrCat("the policy shows nothing at ", inside_path));
  }
  base::UniqueFd fd(::open(bind->host_path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, bind->host_path);
  return fd;
}

std::string TranslateToHost(const SandboxPolicy& policy, const std::string& work_folder,
                            const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::size_t begin =
      text.empty() || text.front() == '/' || equals == text.npos ? 0 : equals + 1;
  const std::string path = text.substr(begin);
  const auto replaced = [&](const std::string& inside, const std::string& host) {
    return text.substr(0, begin) + host + path.substr(inside.size());
  };
  const auto is_within = [&path](const std::string& inside) {
    return path.compare(0, inside.size(), inside) == 0 &&
           (path.size() == inside.size() || path[inside.size()] == '/');
  };
  if (is_within(kWorkFolder)) return replaced(kWorkFolder, work_folder);
  for (const ReadOnlyBind& bind : policy.binds()) {
    if (is_within(bind.inside_path)) return replaced(bind.inside_path, bind.host_path);
  }
  if (policy.uses_host_system()) return text;
  for (const char* name : kRootEntries) {
    const std::string inside = std::string("/") + name;
    if (is_within(inside)) return replaced(inside, policy.root() + inside);
  }
  return text;
}

absl::StatusOr<LaunchRequest> PlanLaunchOnHostTree(const SandboxPolicy& policy,
                                                   const SandboxCommand& command,
                                                   const std::string& work_folder) {
  LaunchRequest request;
  PlanCommon(request, policy.limits());
  RETURN_IF_ERROR(PlanTree(request, policy));
  // The host's own /tmp and /dev/shm are not the sandbox's to write to.
  std::erase_if(request.landlock_paths, [](const LandlockPath& rule) {
    return rule.access == LandlockAccess::kWrite && rule.path != kWorkFolder;
  });
  for (LandlockPath& rule : request.landlock_paths) {
    rule.path = TranslateToHost(policy, work_folder, rule.path);
  }
  request.binds.clear();
  request.symlinks.clear();
  request.files.clear();
  request.working_folder = work_folder;
  // Without a user namespace the user has one name only.
  request.inside_uid = request.host_uid;
  request.inside_gid = request.host_gid;
  for (const std::string& text : command.argv) {
    request.argv.push_back(TranslateToHost(policy, work_folder, text));
  }
  for (const std::string& text : command.environment) {
    request.environment.push_back(TranslateToHost(policy, work_folder, text));
  }
  return request;
}

}  // namespace ncn::sandbox
