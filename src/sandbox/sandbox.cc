#include "sandbox/sandbox.h"

#include <filesystem>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/launcher_client.h"
#include "sandbox/namespace_sandbox.h"
#include "sandbox/unconfined_sandbox.h"

namespace ncn::sandbox {

std::string_view Name(SandboxMode mode) {
  switch (mode) {
    case SandboxMode::kStrict:
      return "strict";
    case SandboxMode::kPermissive:
      return "permissive";
    case SandboxMode::kDisabled:
      return "disabled";
  }
  return "unknown";
}

std::optional<SandboxMode> SandboxModeFromName(std::string_view name) {
  for (SandboxMode mode :
       {SandboxMode::kStrict, SandboxMode::kPermissive, SandboxMode::kDisabled}) {
    if (Name(mode) == name) return mode;
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<Zygote>> Sandbox::StartZygote(const SandboxPolicy&, SandboxCommand) {
  return absl::UnimplementedError(
      base::StrCat("SANDBOX_MODE=", Name(mode()), " has no zygotes: they need every namespace"));
}

absl::StatusOr<SandboxOutcome> Sandbox::Run(const SandboxPolicy& policy, SandboxCommand command,
                                            std::stop_token stop) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SandboxedProcess> process,
                   Start(policy, std::move(command)));
  RETURN_IF_ERROR(process->Verify());
  RETURN_IF_ERROR(process->Release());
  return process->Wait(stop);
}

absl::StatusOr<std::unique_ptr<Sandbox>> CreateSandbox(const SandboxOptions& options) {
  if (options.mode == SandboxMode::kDisabled) return std::make_unique<UnconfinedSandbox>();
  const std::string path =
      options.launcher_path.empty() ? BesideProgram("sandbox_launcher") : options.launcher_path;
  ASSIGN_OR_RETURN(auto sandbox, NamespaceSandbox::Create(options.mode, path));
  return std::unique_ptr<Sandbox>(std::move(sandbox));
}

std::string BesideProgram(std::string_view name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return std::string(name);
  const std::filesystem::path beside = self.parent_path() / name;
  if (std::filesystem::exists(beside, error)) return beside;
  return (self.parent_path().parent_path() / "bin" / name).native();
}

}  // namespace ncn::sandbox
