#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "executors/executor_selector.h"
#include "executors/runtime_environment.h"
#include "inference/failure.h"
#include "inference/limits.h"
#include "models/model_store.h"
#include "models/mounted_model.h"
#include "sandbox/sandbox.h"
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

// Where a sandbox sees the model's file, and what is bound there: its folder, or the file itself.
std::string InsidePath(const models::Model& model);
std::string InsideRoot(const models::Model& model);

// What a process that is held, and verified, has of the model before it.
absl::StatusOr<models::MountedModel> MountedIn(const sandbox::SandboxedProcess& process,
                                               models::Model model);
// Aborted when the model's own path no longer leads to what was verified: why it cannot be mounted.
absl::Status CheckStillThere(const models::Model& model);
// Why a request has no answer when those are not, or no longer, the files that were verified.
inference::Failure ModelChanged(const absl::Status& why);
// `failure` of a run on `mounted`, or that one, when files that are gone or others may be its
// cause.
inference::Failure Explain(inference::Failure failure, const models::MountedModel& mounted);

}  // namespace ncn::executors
