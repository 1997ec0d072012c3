#include "sandbox/sandbox_policy.h"

#include <array>
#include <filesystem>

#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::sandbox {
namespace {

constexpr std::array kHarmlessEtc = {"ld.so.cache",  "ld.so.conf", "ld.so.conf.d",
                                     "alternatives", "fonts",      "localtime",
                                     "mime.types",   "magic",      "ssl/openssl.cnf"};

constexpr std::array kOwnFolders = {"/usr", "/bin",  "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
                                    "/etc", "/proc", "/sys",  "/dev", "/work",  "/tmp"};
constexpr std::size_t kPathMax = 4095;

bool IsWithin(std::string_view path, std::string_view folder) {
  return path == folder || (path.size() > folder.size() &&
                            path.substr(0, folder.size()) == folder && path[folder.size()] == '/');
}

absl::Status CheckInsidePath(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  if (path.size() < 2 || path.size() > kPathMax || path.front() != '/' || path.back() == '/' ||
      normal.native() != path || path.find_first_of(std::string_view("\0\n", 2)) != path.npos) {
    return absl::InvalidArgumentError(
        base::StrCat("\"", path, "\" cannot be a path inside: give an absolute, normalised one"));
  }
  for (const char* folder : kOwnFolders) {
    if (IsWithin(path, folder)) {
      return absl::InvalidArgumentError(base::StrCat(
          "\"", path, "\" cannot be a path inside: ", folder, " is the sandbox's own"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Resolve(const std::string& path, std::string_view what) {
  std::error_code error;
  const std::filesystem::path resolved = std::filesystem::canonical(path, error);
  if (error || path.empty()) {
    return absl::NotFoundError(
        base::StrCat(what, " \"", path, "\" cannot be used: ", error.message()));
  }
  if (resolved.native().find('\n') != std::string::npos) {
    return absl::InvalidArgumentError(base::StrCat(what, " has a line break in its path"));
  }
  return resolved.native();
}

absl::Status CheckLimits(const inference::ExecutionLimits& limits) {
  if (limits.wall_clock.count() <= 0 || limits.cpu_time.count() <= 0 || limits.memory_bytes == 0 ||
      limits.output_bytes == 0 || limits.workspace_bytes == 0 || limits.workspace_inodes < 16 ||
      limits.processes == 0 || limits.open_files < 16) {
    return absl::InvalidArgumentError(
        "every limit of an execution must be above 0, inodes and open files at least 16");
  }
  return absl::OkStatus();
}

std::vector<std::string> EtcEntries(const std::string& root) {
  std::vector<std::string> entries(kHarmlessEtc.begin(), kHarmlessEtc.end());
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(root + "/etc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.rfind("python3", 0) == 0) entries.push_back(name);
  }
  return entries;
}

}  // namespace

std::string SandboxPolicy::CanonicalText() const {
  std::string text = base::StrCat("root ", root_, "\n");
  for (const ReadOnlyBind& bind : binds_) {
    text += base::StrCat("bind ", bind.executable ? "rx " : "r ", bind.inside_path, " = ",
                         bind.host_path, "\n");
  }
  constexpr std::array kProfiles = {"python", "native", "zygote"};
  text += base::StrCat("profile ", kProfiles[static_cast<std::size_t>(profile_)], "\n",
                       "exec_memory ", exec_memory_ == ExecMemory::kJit ? "jit" : "denied", "\n",
                       "seccomp ", seccomp_->policy_hash, "\n");
  text += base::StrCat("wall_clock_ms ", limits_.wall_clock.count(), "\n", "cpu_time_s ",
                       limits_.cpu_time.count(), "\n", "memory_bytes ", limits_.memory_bytes, "\n",
                       "output_bytes ", limits_.output_bytes, "\n", "workspace_bytes ",
                       limits_.workspace_bytes, "\n");
  text += base::StrCat("workspace_inodes ", limits_.workspace_inodes, "\n", "processes ",
                       limits_.processes, "\n", "open_files ", limits_.open_files, "\n");
  return text;
}

PolicyBuilder& PolicyBuilder::UseRootImage(std::string_view folder) {
  root_ = folder;
  return *this;
}

PolicyBuilder& PolicyBuilder::UseHostSystem() {
  root_ = "/";
  return *this;
}

PolicyBuilder& PolicyBuilder::AddReadOnly(std::string_view host_path,
                                          std::string_view inside_path) {
  binds_.push_back({std::string(host_path), std::string(inside_path), false});
  return *this;
}

PolicyBuilder& PolicyBuilder::AddReadOnlyExecutable(std::string_view host_path,
                                                    std::string_view inside_path) {
  binds_.push_back({std::string(host_path), std::string(inside_path), true});
  return *this;
}

PolicyBuilder& PolicyBuilder::SetProfile(SeccompProfile profile) {
  profile_ = profile;
  return *this;
}

PolicyBuilder& PolicyBuilder::AllowJustInTimeCode() {
  exec_memory_ = ExecMemory::kJit;
  return *this;
}

PolicyBuilder& PolicyBuilder::SetLimits(const inference::ExecutionLimits& limits) {
  limits_ = limits;
  return *this;
}

absl::StatusOr<SandboxPolicy> PolicyBuilder::Build() const {
  if (root_.empty()) return absl::InvalidArgumentError("a sandbox policy needs a root file system");
  RETURN_IF_ERROR(CheckLimits(limits_));
  SandboxPolicy policy;
  ASSIGN_OR_RETURN(policy.root_, Resolve(root_, "the root file system"));
  std::error_code ignored;
  if (!std::filesystem::is_directory(policy.root_ + "/usr", ignored)) {
    return absl::NotFoundError(
        base::StrCat("\"", policy.root_, "\" is no root file system: it has no folder usr"));
  }
  for (const ReadOnlyBind& bind : binds_) {
    RETURN_IF_ERROR(CheckInsidePath(bind.inside_path));
    for (const ReadOnlyBind& other : policy.binds_) {
      if (IsWithin(bind.inside_path, other.inside_path) ||
          IsWithin(other.inside_path, bind.inside_path)) {
        return absl::InvalidArgumentError(base::StrCat("\"", bind.inside_path, "\" and \"",
                                                       other.inside_path, "\" overlap inside"));
      }
    }
    ASSIGN_OR_RETURN(std::string host_path, Resolve(bind.host_path, "the bind"));
    policy.binds_.push_back({std::move(host_path), bind.inside_path, bind.executable});
  }
  policy.etc_entries_ = EtcEntries(policy.root_);
  policy.profile_ = profile_;
  policy.exec_memory_ = exec_memory_;
  policy.limits_ = limits_;
  ASSIGN_OR_RETURN(policy.seccomp_, CompileSeccompPolicy(profile_, exec_memory_));
  policy.hash_ = base::AsHex(base::Sha256(policy.CanonicalText()));
  return policy;
}

}  // namespace ncn::sandbox
