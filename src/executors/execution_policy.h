#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "executors/executor_selector.h"
#include "executors/runtime_environment.h"
#include "inference/limits.h"
#include "models/model_store.h"
#include "sandbox/sandbox_policy.h"

namespace ncn::executors {

// What every policy on `environment` begins with: its root, its virtual environment, code made at
// run time (oneDNN needs it), the python profile.
sandbox::PolicyBuilder BasePolicy(const RuntimeEnvironment& environment);

// The policy under which `executor` runs `model`: a script among the others of `executors_path`; a
// native one by itself, under its own tighter profile and without code made at run time. The
// model's manifest may lower the limits, never raise them.
absl::StatusOr<sandbox::SandboxPolicy> PolicyFor(const RuntimeEnvironment& environment,
                                                 const std::filesystem::path& executors_path,
                                                 const Executor& executor,
                                                 const models::Model& model,
                                                 inference::ExecutionLimits limits);

// Where a sandbox sees the model's file.
std::string InsidePath(const models::Model& model);

}  // namespace ncn::executors
