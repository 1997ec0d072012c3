#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ncn::sandbox {

// The steps by which a sandbox is set up, in their order. Each can fail, and a test makes each
// fail.
enum class SetupStep : std::uint8_t {
  kNamespaces = 1,  // clone3 of the mini-init.
  kIdentity,        // User and group map, and taking on the mapped identity.
  kCgroup,          // Joining the control group, and its namespace.
  kSources,         // Opening what is bound read-only.
  kRoot,            // The new root file system.
  kBinds,           // Putting the sources in place.
  kDevices,         // /dev and its five devices.
  kWorkspace,       // /work, /tmp and /dev/shm.
  kProc,            // /proc of the new pid namespace.
  kPivot,           // Leaving the host's tree.
  kHostName,
  kPrivileges,    // no_new_privs.
  kCapabilities,  // Dropping every set.
  kPayload,       // Making the process that becomes the command.
  kLandlock,
  kDescriptors,  // Closing everything but the standard streams.
  kRlimits,
  kSeccomp,
  kExecute,  // execve of the command, after release.
};
inline constexpr SetupStep kFirstStep = SetupStep::kNamespaces;
inline constexpr SetupStep kLastStep = SetupStep::kExecute;

// The step of that number, if there is one.
std::optional<SetupStep> SetupStepFromNumber(std::uint8_t number);
// "root file system"
std::string_view Name(SetupStep step);
// The layer that the step belongs to, in the words of the documentation: "mount namespace".
std::string_view Layer(SetupStep step);
// What an operator can do when it fails with `error`, an errno. A sentence.
std::string_view Cure(SetupStep step, int error);

}  // namespace ncn::sandbox
