#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace ncn::sandbox {

// Which policies/*.json governs the process: CPython with its frameworks, the native executor, or a
// zygote, whose filter leaves to those of its children what these decide.
enum class SeccompProfile { kPython, kNative, kZygote };

// Whether the process may execute memory that it wrote, as just-in-time compilers do (oneDNN for
// one). kDenied refuses with EACCES whatever makes memory writable and executable at once, makes it
// executable later, or executable without a file behind it. It is whole only where every file that
// the process can write lies on a noexec mount.
enum class ExecMemory { kJit, kDenied };

// A compiled filter, ready for seccomp(SECCOMP_SET_MODE_FILTER). Immutable.
struct SeccompProgram {
  // An array of struct sock_filter, raw bytes. The size divided by sizeof(sock_filter) is the
  // length of sock_fprog, never above BPF_MAXINSNS. A call that the policy names hostile returns
  // SECCOMP_RET_USER_NOTIF, so install with SECCOMP_FILTER_FLAG_NEW_LISTENER: without a listener
  // such a call fails with ENOSYS.
  std::string bpf;
  // SHA-256 in lower-case hexadecimal of the bytes of the policy files and the options above.
  std::string policy_hash;
};

// The filter of the policy that this program was built with. Compiled once for each combination and
// then shared; thread-safe. An error means that the policy or libseccomp is at fault and nothing
// may run.
absl::StatusOr<std::shared_ptr<const SeccompProgram>> CompileSeccompPolicy(SeccompProfile profile,
                                                                           ExecMemory exec_memory);

// The x86-64 name of a system call for messages: "ptrace", or "system call 9999" when it has none.
// Knows the calls that libseccomp is too old for as well. Thread-safe.
std::string SystemCallName(int number);

}  // namespace ncn::sandbox
