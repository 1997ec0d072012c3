#pragma once

#include <memory>

#include "sandbox/sandbox.h"

namespace ncn::sandbox {

// Disabled mode: runs the command as the node's own user with nothing around it. Keeps the wall
// clock and output limits and a temporary folder in place of /work; inside paths in arguments and
// environment become those of the host. Runs the host's programs only: the policy of an image is
// refused. For development. Thread-safe.
class UnconfinedSandbox final : public Sandbox {
 public:
  // Warns in the log.
  UnconfinedSandbox();
  SandboxMode mode() const override { return SandboxMode::kDisabled; }
  absl::StatusOr<std::unique_ptr<SandboxedProcess>> Start(const SandboxPolicy& policy,
                                                          SandboxCommand command) override;
};

}  // namespace ncn::sandbox
