#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "sandbox/namespace_sandbox.h"

namespace ncn::sandbox {

// A zygote in namespaces; see Zygote.
class NamespaceZygote final : public Zygote {
 public:
  // Starts `command` under `policy`, whose profile is kZygote, in `sandbox`.
  static absl::StatusOr<std::unique_ptr<NamespaceZygote>> Start(NamespaceSandbox& sandbox,
                                                                const SandboxPolicy& policy,
                                                                SandboxCommand command);
  ~NamespaceZygote() override;

  Sandbox& children() override { return *children_; }
  bool alive() const override { return alive_; }
  int pid() const override { return process_->pid(); }

 private:
  NamespaceZygote(std::unique_ptr<SandboxedProcess> process,
                  std::unique_ptr<NamespaceSandbox> children);

  // Constant after construction.
  const std::unique_ptr<SandboxedProcess> process_;
  const std::unique_ptr<NamespaceSandbox> children_;
  std::atomic<bool> alive_ = true;
  std::jthread waiter_;
};

}  // namespace ncn::sandbox
