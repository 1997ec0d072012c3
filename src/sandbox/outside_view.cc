#include "sandbox/outside_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>

#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/sandbox_policy.h"

namespace ncn::sandbox {
namespace {

constexpr std::size_t kProcFileBytesMax = 1 << 20;

struct Namespace {
  std::uint32_t flag;
  const char* name;
};
constexpr std::array kNamespaces = {
    Namespace{CLONE_NEWUSER, "user"},    Namespace{CLONE_NEWPID, "pid"},
    Namespace{CLONE_NEWNS, "mnt"},       Namespace{CLONE_NEWNET, "net"},
    Namespace{CLONE_NEWIPC, "ipc"},      Namespace{CLONE_NEWUTS, "uts"},
    Namespace{CLONE_NEWCGROUP, "cgroup"}};

absl::Status Differs(std::string_view what, std::string_view found, std::string_view wanted) {
  return absl::FailedPreconditionError(
      base::StrCat("the sandbox is not as it should be, seen from outside: ", what, " is ", found,
                   ", not ", wanted, "; nothing was run"));
}

// Cuts `text` behind the next `separator` and returns what lay before it.
std::string_view Next(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

// The value of "key:\tvalue" in a status file.
std::optional<std::string_view> Field(std::string_view status, std::string_view key) {
  while (!status.empty()) {
    const std::string_view line = Next(status, '\n');
    if (line.size() > key.size() + 1 && line.substr(0, key.size()) == key &&
        line[key.size()] == ':') {
      return line.substr(line.find_first_not_of(" \t", key.size() + 1));
    }
  }
  return std::nullopt;
}

std::string ReadLink(const std::string& path) {
  std::array<char, 128> buffer;
  const ssize_t size = ::readlink(path.c_str(), buffer.data(), buffer.size());
  return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : std::string();
}

// The node's namespaces, which it never leaves, in the order of kNamespaces.
const std::array<std::string, kNamespaces.size()>& OwnNamespaces() {
  static const auto* const own = [] {
    auto* links = new std::array<std::string, kNamespaces.size()>;
    for (std::size_t i = 0; i < kNamespaces.size(); ++i) {
      (*links)[i] = ReadLink(base::StrCat("/proc/self/ns/", kNamespaces[i].name));
    }
    return links;
  }();
  return *own;
}

absl::Status VerifyNamespaces(const std::string& proc, std::uint32_t wanted) {
  for (std::size_t i = 0; i < kNamespaces.size(); ++i) {
    const Namespace& space = kNamespaces[i];
    if ((wanted & space.flag) == 0) continue;
    const std::string theirs = ReadLink(base::StrCat(proc, "/ns/", space.name));
    const std::string& ours = OwnNamespaces()[i];
    if (theirs.empty() || ours.empty() || theirs == ours) {
      return Differs(base::StrCat("its ", space.name, " namespace"),
                     theirs.empty() ? "unknown" : "the node's", "one of its own");
    }
  }
  return absl::OkStatus();
}

// The highest that a held process may have: standard streams, then the channel and the listener,
// which close when it goes, or a zygote's inheritance, or /work, which closes as well.
int LastDescriptor(const LaunchRequest& request) {
  return request.inherited > 0 ? kInheritedFd + request.inherited - 1 : kInheritedFd;
}

absl::Status VerifyDescriptors(const std::string& proc, const LaunchRequest& request) {
  DIR* folder = ::opendir((proc + "/fd").c_str());
  if (folder == nullptr) return Differs("its table of descriptors", "unreadable", "readable");
  absl::Status status;
  while (const dirent* entry = ::readdir(folder)) {
    int number = -1;
    const std::string_view name = entry->d_name;
    std::from_chars(name.data(), name.data() + name.size(), number);
    if (number > LastDescriptor(request)) status = Differs("a descriptor", name, "expected");
  }
  ::closedir(folder);
  return status;
}

// The name of a resource in /proc/PID/limits. From there, because prlimit(2) on a process of
// another user needs CAP_SYS_RESOURCE, which a root in a container may lack.
std::string_view LimitName(std::uint8_t resource) {
  switch (resource) {
    case RLIMIT_AS:
      return "Max address space ";
    case RLIMIT_CPU:
      return "Max cpu time ";
    case RLIMIT_NPROC:
      return "Max processes ";
    case RLIMIT_NOFILE:
      return "Max open files ";
    case RLIMIT_FSIZE:
      return "Max file size ";
    case RLIMIT_CORE:
      return "Max core file size ";
    case RLIMIT_MEMLOCK:
      return "Max locked memory ";
    case RLIMIT_MSGQUEUE:
      return "Max msgqueue size ";
    default:
      return "";
  }
}

std::string LimitText(std::uint64_t value) {
  return value == RLIM_INFINITY ? "unlimited" : std::to_string(value);
}

// Every mount that there may be, with the options that it must have at least.
std::map<std::string, std::vector<std::string>> WantedMounts(const LaunchRequest& request) {
  std::map<std::string, std::vector<std::string>> wanted;
  wanted["/"] = {"ro", "nosuid", "nodev"};
  wanted["/proc"] = {request.makes_sandboxes ? "rw" : "ro", "nosuid", "nodev", "noexec"};
  for (const char* folder : {kWorkFolder, kTemporaryFolder, kSharedMemoryFolder}) {
    wanted[folder] = {"rw", "nosuid", "nodev", "noexec"};
  }
  for (const char* device : {"null", "zero", "full", "random", "urandom"}) {
    wanted[base::StrCat("/dev/", device)] = {"nosuid", "noexec"};
  }
  for (const BindMount& bind : request.binds) {
    auto& options = wanted[bind.inside_path];
    options = {"ro", "nosuid", "nodev"};
    if (!bind.executable) options.push_back("noexec");
  }
  return wanted;
}

// mountinfo writes blanks and backslashes as three octal digits.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8).ec == std::errc()) {
      plain.push_back(static_cast<char>(code));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

// Whether a mount lies below one of the binds: the host's own sub-mounts come along, read-only.
const BindMount* BindAbove(const LaunchRequest& request, const std::string& path) {
  for (const BindMount& bind : request.binds) {
    if (path.compare(0, bind.inside_path.size() + 1, bind.inside_path + "/") == 0) return &bind;
  }
  return nullptr;
}

bool HasOption(std::string_view options, std::string_view option) {
  while (!options.empty()) {
    if (Next(options, ',') == option) return true;
  }
  return false;
}

}  // namespace

absl::Status VerifyStatusFile(std::string_view status, const LaunchRequest& request) {
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    // Without a user namespace of its own an ordinary user's bounding set cannot be emptied;
    // nothing can come of it under no_new_privs.
    if (set == std::string_view("CapBnd") && (request.namespaces & CLONE_NEWUSER) == 0) continue;
    const std::string_view found = Field(status, set).value_or("missing");
    if (found != "0000000000000000") return Differs(set, found, "empty");
  }
  const std::string_view privileges = Field(status, "NoNewPrivs").value_or("missing");
  if (privileges != "1") return Differs("NoNewPrivs", privileges, "1");
  const std::string_view seccomp = Field(status, "Seccomp").value_or("missing");
  if (seccomp != "2") return Differs("Seccomp", seccomp, "2");
  const std::string uid = std::to_string(request.host_uid), gid = std::to_string(request.host_gid);
  const std::string uids = base::StrCat(uid, "\t", uid, "\t", uid, "\t", uid);
  const std::string gids = base::StrCat(gid, "\t", gid, "\t", gid, "\t", gid);
  const std::string_view found_uids = Field(status, "Uid").value_or("missing");
  if (found_uids != uids || request.host_uid == 0) return Differs("its user", found_uids, uids);
  const std::string_view found_gids = Field(status, "Gid").value_or("missing");
  if (found_gids != gids) return Differs("its group", found_gids, gids);
  return absl::OkStatus();
}

absl::Status VerifyMounts(std::string_view mountinfo, const LaunchRequest& request) {
  std::map<std::string, std::vector<std::string>> wanted = WantedMounts(request);
  while (!mountinfo.empty()) {
    std::string_view line = Next(mountinfo, '\n');
    for (int skipped = 0; skipped < 4; ++skipped) Next(line, ' ');  // Id, parent, device, root.
    const std::string path = Unescape(Next(line, ' '));
    const std::string_view options = Next(line, ' ');
    const auto found = wanted.find(path);
    std::vector<std::string> needed;
    if (found != wanted.end()) {
      needed = std::move(found->second);
      wanted.erase(found);  // A second mount on the same place is one too many.
    } else if (BindAbove(request, path) != nullptr) {
      needed = {"ro", "nosuid", "nodev"};
    } else {
      return Differs("a mount", path, "one that was asked for");
    }
    for (const std::string& option : needed) {
      if (!HasOption(options, option)) {
        return Differs(base::StrCat("the mount ", path), options, option);
      }
    }
  }
  if (!wanted.empty())
    return Differs(base::StrCat("the mount ", wanted.begin()->first), "absent", "there");
  return absl::OkStatus();
}

absl::Status VerifyRlimits(std::string_view limits, const LaunchRequest& request) {
  for (const Rlimit& wanted : request.rlimits) {
    const std::string_view name = LimitName(wanted.resource);
    const std::size_t at = name.empty() ? std::string_view::npos : limits.find(name);
    if (at == std::string_view::npos) {
      return Differs(base::StrCat("rlimit ", static_cast<int>(wanted.resource)), "unknown",
                     "known");
    }
    std::string_view line = limits.substr(at + name.size());
    line = Next(line, '\n');
    const auto next_word = [&line] {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      return Next(line, ' ');
    };
    const std::string_view soft = next_word(), hard = next_word();
    if (soft != LimitText(wanted.soft) || hard != LimitText(wanted.hard)) {
      return Differs(name, base::StrCat(soft, " and ", hard),
                     base::StrCat(wanted.soft, " and ", wanted.hard));
    }
  }
  return absl::OkStatus();
}

absl::Status VerifyFromOutside(pid_t pid, const LaunchRequest& request, const Cgroup* cgroup) {
  const std::string proc = "/proc/" + std::to_string(pid);
  ASSIGN_OR_RETURN(const std::string status, base::ReadFile(proc + "/status", kProcFileBytesMax));
  RETURN_IF_ERROR(VerifyStatusFile(status, request));
  RETURN_IF_ERROR(VerifyNamespaces(proc, request.namespaces));
  if ((request.namespaces & CLONE_NEWNS) != 0) {
    ASSIGN_OR_RETURN(const std::string mounts,
                     base::ReadFile(proc + "/mountinfo", kProcFileBytesMax));
    RETURN_IF_ERROR(VerifyMounts(mounts, request));
  }
  RETURN_IF_ERROR(VerifyDescriptors(proc, request));
  ASSIGN_OR_RETURN(const std::string limits, base::ReadFile(proc + "/limits", kProcFileBytesMax));
  RETURN_IF_ERROR(VerifyRlimits(limits, request));
  if (cgroup != nullptr) {
    ASSIGN_OR_RETURN(const std::string membership,
                     base::ReadFile(proc + "/cgroup", kProcFileBytesMax));
    if (!cgroup->Holds(membership)) return Differs("its control group", "another", "its own");
  }
  return absl::OkStatus();
}

}  // namespace ncn::sandbox
