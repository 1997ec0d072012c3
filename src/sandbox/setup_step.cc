#include "sandbox/setup_step.h"

#include <cerrno>

namespace ncn::sandbox {

std::optional<SetupStep> SetupStepFromNumber(std::uint8_t number) {
  if (number < static_cast<std::uint8_t>(kFirstStep) ||
      number > static_cast<std::uint8_t>(kLastStep)) {
    return std::nullopt;
  }
  return static_cast<SetupStep>(number);
}

std::string_view Name(SetupStep step) {
  switch (step) {
    case SetupStep::kNamespaces:
      return "new namespaces";
    case SetupStep::kIdentity:
      return "user identity";
    case SetupStep::kCgroup:
      return "control group";
    case SetupStep::kSources:
      return "sources of read-only binds";
    case SetupStep::kRoot:
      return "root file system";
    case SetupStep::kBinds:
      return "read-only binds";
    case SetupStep::kDevices:
      return "devices";
    case SetupStep::kWorkspace:
      return "workspace";
    case SetupStep::kProc:
      return "proc file system";
    case SetupStep::kPivot:
      return "change of root";
    case SetupStep::kHostName:
      return "host name";
    case SetupStep::kPrivileges:
      return "no new privileges";
    case SetupStep::kCapabilities:
      return "drop of capabilities";
    case SetupStep::kPayload:
      return "process";
    case SetupStep::kRlimits:
      return "rlimits";
    case SetupStep::kLandlock:
      return "landlock";
    case SetupStep::kDescriptors:
      return "close of descriptors";
    case SetupStep::kSeccomp:
      return "seccomp filter";
    case SetupStep::kExecute:
      return "execution";
  }
  return "unknown step";
}

std::string_view Layer(SetupStep step) {
  switch (step) {
    case SetupStep::kNamespaces:
    case SetupStep::kIdentity:
    case SetupStep::kHostName:
      return "namespaces";
    case SetupStep::kSources:
    case SetupStep::kRoot:
    case SetupStep::kBinds:
    case SetupStep::kDevices:
    case SetupStep::kWorkspace:
    case SetupStep::kPivot:
      return "mount namespace";
    case SetupStep::kProc:
      return "pid namespace";
    case SetupStep::kCgroup:
    case SetupStep::kRlimits:
      return "resource limits";
    case SetupStep::kPrivileges:
    case SetupStep::kCapabilities:
      return "privileges";
    case SetupStep::kLandlock:
      return "landlock";
    case SetupStep::kSeccomp:
      return "seccomp";
    case SetupStep::kPayload:
    case SetupStep::kDescriptors:
    case SetupStep::kExecute:
      return "process";
  }
  return "unknown layer";
}

std::string_view Cure(SetupStep step, int error) {
  switch (step) {
    case SetupStep::kNamespaces:
      if (error == ENOSPC) return "Raise the sysctl user.max_user_namespaces (and its sisters).";
      if (error == ENOMEM || error == EAGAIN) return "Free memory or processes on this machine.";
      return "Allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, "
             "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0; "
             "in a container, allow clone and unshare.";
    case SetupStep::kIdentity:
      return "Run the node as an ordinary user, or as root with CAP_SETUID and CAP_SETGID.";
    case SetupStep::kCgroup:
      return "Give the node write access to its control group, or run it where it has none.";
    case SetupStep::kSources:
      return "Give the path that exists, without symbolic links, and that the sandbox's user may "
             "read (chmod o+rX).";
    case SetupStep::kRoot:
    case SetupStep::kBinds:
    case SetupStep::kDevices:
    case SetupStep::kWorkspace:
    case SetupStep::kPivot:
      if (error == ENOSYS) return "Linux 5.12 or newer is needed for the mount calls.";
      return "In a container, allow the mount system calls (open_tree, move_mount, mount_setattr).";
    case SetupStep::kProc:
      return "In a container, unmask /proc (Docker: --security-opt systempaths=unconfined).";
    case SetupStep::kHostName:
      return "In a container, allow sethostname.";
    case SetupStep::kPrivileges:
    case SetupStep::kCapabilities:
      return "Do not start the node under locked securebits.";
    case SetupStep::kPayload:
      return "Raise the limit of processes of the node.";
    case SetupStep::kRlimits:
      return "Raise the node's own hard limits (ulimit -H) to those of an execution.";
    case SetupStep::kLandlock:
      return "Use a kernel built with CONFIG_SECURITY_LANDLOCK and started with lsm=landlock,…";
    case SetupStep::kDescriptors:
      return "Linux 5.9 or newer is needed for close_range.";
    case SetupStep::kSeccomp:
      return "Use a kernel with CONFIG_SECCOMP_FILTER; in a container, allow the seccomp call.";
    case SetupStep::kExecute:
      return "Give the absolute path of a program that exists inside the sandbox.";
  }
  return "";
}

}  // namespace ncn::sandbox
