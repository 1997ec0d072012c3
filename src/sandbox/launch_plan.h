#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/launch_protocol.h"
#include "sandbox/sandbox.h"

namespace ncn::sandbox {

// All seven.
extern const std::uint32_t kAllNamespaces;

// Who a sandbox is: inside always the same ordinary user; outside never root.
struct SandboxIdentity {
  std::uint32_t host_uid = 0;
  std::uint32_t host_gid = 0;
};
inline constexpr std::uint32_t kInsideUid = 1000;
// For root: the unprivileged user 65534. For an ordinary user: itself, the only one it may map.
SandboxIdentity IdentityForCaller();

// The same as SandboxedProcess::OpenInside for a process that sees the host's own tree.
absl::StatusOr<base::UniqueFd> OpenHostPath(const std::vector<ReadOnlyBind>& binds,
                                            const std::string& inside_path);

// For the same machine and caller as the plans below.
CloneRequest PlanClone(std::uint32_t namespaces);

// How what the host calls by one path is called in a zygote.
struct PathMapping {
  std::string host;
  std::string inside;
};
// Of a zygote under `policy`, longest host path first.
std::vector<PathMapping> ViewOf(const SandboxPolicy& policy);
// Makes a plan one for the zygote to carry out. PermissionDenied when it needs what is not shown
// there.
absl::Status SeeFromZygote(const std::vector<PathMapping>& view, LaunchRequest& request);

// Turns a policy and a command into what the launcher is asked for, with every namespace. Looks at
// each source: NotFound or PermissionDenied names one that the sandbox could not read.
absl::StatusOr<LaunchRequest> PlanLaunch(const SandboxPolicy& policy,
                                         const SandboxCommand& command);

// The same for a machine without mount namespaces: paths of the inside become those of the host,
// where `work_folder` stands for /work, in arguments, environment and Landlock rules.
absl::StatusOr<LaunchRequest> PlanLaunchOnHostTree(const SandboxPolicy& policy,
                                                   const SandboxCommand& command,
                                                   const std::string& work_folder);

// `text` with the inside path that it is, or that follows its first "=", as the host's.
std::string TranslateToHost(const SandboxPolicy& policy, const std::string& work_folder,
                            const std::string& text);

// InvalidArgument when the command makes no sense anywhere.
absl::Status CheckCommand(const SandboxCommand& command);

// The policy's limits, with the command's own wall clock where that is tighter or takes its place.
inference::ExecutionLimits LimitsOfRun(inference::ExecutionLimits limits,
                                       const SandboxCommand& command);

}  // namespace ncn::sandbox
