#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "executors/runtime_environment.h"
#include "inference/limits.h"
#include "models/model_store.h"
#include "sandbox/sandbox_policy.h"

namespace ncn::executors {

// What every policy on `environment` begins with: its root, its virtual environment, code made at
// run time (oneDNN needs it), the python profile.
sandbox::PolicyBuilder BasePolicy(const RuntimeEnvironment& environment);

// The policy under which executors from `executors_path` run `model`. Its manifest may lower the
// limits, never raise them.
absl::StatusOr<sandbox::SandboxPolicy> PolicyFor(const RuntimeEnvironment& environment,
                                                 const std::filesystem::path& executors_path,
                                                 const models::Model& model,
                                                 inference::ExecutionLimits limits);

// Where a sandbox sees the model's file.
std::string InsidePath(const models::Model& model);

}  // namespace ncn::executors
