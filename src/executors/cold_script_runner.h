#pragma once

#include <memory>
#include <optional>

#include "executors/runtime_environment.h"
#include "executors/script_runner.h"
#include "inference/limits.h"
#include "models/mounted_model.h"
#include "sandbox/sandbox.h"

namespace ncn::executors {

struct ColdRunnerOptions {
  inference::ExecutionLimits limits;  // Of each execution; a manifest may only lower them.
  std::uint32_t threads = 1;          // That an executor may compute with.
};

// Isolation level `cold`: a new sandbox with a new interpreter for every request, by the file
// contract. The model, the executor scripts and the image are visible inside, read-only; input and
// output are files in the sandbox's own memory. Thread-safe.
class ColdScriptRunner final : public ScriptRunner {
 public:
  // The sandbox outlives the runner.
  ColdScriptRunner(sandbox::Sandbox& sandbox, RuntimeEnvironment environment,
                   std::filesystem::path executors_path, ColdRunnerOptions options,
                   const base::Clock& clock);

  Outcome Run(const ScriptTask& task) override;

 private:
  // Aborted when what is mounted, or was read, is not what was verified.
  absl::StatusOr<sandbox::SandboxOutcome> RunVerified(const sandbox::SandboxPolicy& policy,
                                                      sandbox::SandboxCommand command,
                                                      const ScriptTask& task,
                                                      std::optional<models::MountedModel>& mounted);
  sandbox::SandboxCommand CommandFor(const ScriptTask& task,
                                     std::chrono::milliseconds remaining) const;

  sandbox::Sandbox& sandbox_;
  const RuntimeEnvironment environment_;
  const std::filesystem::path executors_path_;
  const ColdRunnerOptions options_;
  const base::Clock& clock_;
};

}  // namespace ncn::executors
