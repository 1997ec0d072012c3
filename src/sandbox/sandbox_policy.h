#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/limits.h"
#include "sandbox/seccomp_policy.h"

namespace ncn::sandbox {

// Where the writable places are, inside. Everything else is read-only.
inline constexpr char kWorkFolder[] = "/work";
inline constexpr char kTemporaryFolder[] = "/tmp";
inline constexpr char kSharedMemoryFolder[] = "/dev/shm";

// One file or folder of the host that is visible inside, read-only.
struct ReadOnlyBind {
  std::string host_path;    // Absolute, without symbolic links.
  std::string inside_path;  // Absolute, normalised.
  bool executable = false;  // Whether its files may be executed or mapped executable.
};

// What one sandboxed command may see and use. An immutable value, made by PolicyBuilder; copies are
// cheap enough for one per execution. Thread-safe.
class SandboxPolicy {
 public:
  // The folder that holds the root file system's /usr and so on: an image, or "/" for the host's
  // own.
  const std::string& root() const { return root_; }
  // The names below /etc that may be read: what programs need, and nothing that names a user, a key
  // or a host. Not all need exist.
  const std::vector<std::string>& etc_entries() const { return etc_entries_; }
  bool uses_host_system() const { return root_ == "/"; }
  const std::vector<ReadOnlyBind>& binds() const { return binds_; }
  SeccompProfile profile() const { return profile_; }
  ExecMemory exec_memory() const { return exec_memory_; }
  const inference::ExecutionLimits& limits() const { return limits_; }
  const SeccompProgram& seccomp() const { return *seccomp_; }

  // The whole policy as stable lines of text, one fact a line, the digest of the seccomp policy
  // included. What Hash() is over, and what an auditor reads.
  std::string CanonicalText() const;
  // SHA-256 of CanonicalText(), 64 lower-case hexadecimal digits; goes into attestations.
  const std::string& Hash() const { return hash_; }

 private:
  friend class PolicyBuilder;
  SandboxPolicy() = default;

  std::string root_;
  std::vector<std::string> etc_entries_;
  std::vector<ReadOnlyBind> binds_;
  SeccompProfile profile_ = SeccompProfile::kPython;
  ExecMemory exec_memory_ = ExecMemory::kJit;
  inference::ExecutionLimits limits_;
  std::shared_ptr<const SeccompProgram> seccomp_;
  std::string hash_;
};

// Collects what a policy allows. Nothing is allowed that was not asked for. Not thread-safe.
class PolicyBuilder {
 public:
  // Makes `folder`, a root file system (an unpacked image), the sandbox's root.
  PolicyBuilder& UseRootImage(std::string_view folder);
  // Makes the host's own /usr the root, with the few harmless files of its /etc that programs need.
  // For executors from a virtual environment.
  PolicyBuilder& UseHostSystem();
  // Shows a file or folder of the host inside, for reading only. Inside paths may not lie in a
  // folder that the sandbox itself provides (/usr, /etc, /proc, /dev, /work, /tmp, …).
  PolicyBuilder& AddReadOnly(std::string_view host_path, std::string_view inside_path);
  // The same, and programs and shared libraries in it may be executed.
  PolicyBuilder& AddReadOnlyExecutable(std::string_view host_path, std::string_view inside_path);
  PolicyBuilder& SetProfile(SeccompProfile profile);
  // Whether memory may be writable and executable. Denied unless allowed here: oneDNN needs it.
  PolicyBuilder& AllowJustInTimeCode();
  PolicyBuilder& SetLimits(const inference::ExecutionLimits& limits);

  // Resolves every host path and checks the whole. InvalidArgument or NotFound names what is wrong.
  absl::StatusOr<SandboxPolicy> Build() const;

 private:
  std::string root_;
  std::vector<ReadOnlyBind> binds_;
  SeccompProfile profile_ = SeccompProfile::kPython;
  ExecMemory exec_memory_ = ExecMemory::kDenied;
  inference::ExecutionLimits limits_;
};

}  // namespace ncn::sandbox
