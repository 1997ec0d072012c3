#include "executors/execution_policy.h"

#include <fcntl.h>

#include <algorithm>

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::executors {

std::string InsidePath(const models::Model& model) {
  return base::StrCat(kModelInside, "/", model.relative_file);
}

std::string InsideRoot(const models::Model& model) {
  return model.is_folder ? kModelInside : InsidePath(model);
}

absl::StatusOr<models::MountedModel> MountedIn(const sandbox::SandboxedProcess& process,
                                               models::Model model) {
  ASSIGN_OR_RETURN(base::UniqueFd seen, process.OpenInside(InsideRoot(model)));
  return models::MountedModel(std::move(model), std::move(seen));
}

absl::Status CheckStillThere(const models::Model& model) {
  return models::MountedModel(
             model, base::UniqueFd(::open(model.root.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)))
      .CheckVerified();
}

inference::Failure ModelChanged(const absl::Status& why) {
  return {inference::FailureKind::kModelChanged, std::string(why.message()),
          "Send the request again. Replace a model by renaming the new one into its place, not by "
          "writing into its files."};
}

inference::Failure Explain(inference::Failure failure, const models::MountedModel& mounted) {
  using inference::FailureKind;
  if (failure.kind == FailureKind::kCancelled || failure.kind == FailureKind::kTimeout) {
    return failure;
  }
  const absl::Status verified = mounted.CheckVerified();
  return verified.ok() ? std::move(failure) : ModelChanged(verified);
}

namespace {

sandbox::PolicyBuilder NativePolicy(const RuntimeEnvironment& environment,
                                    const Executor& executor) {
  sandbox::PolicyBuilder builder;
  builder.SetProfile(sandbox::SeccompProfile::kNative)
      .UseRootImage(environment.root.native())
      .AddReadOnlyExecutable(executor.program.native(), executor.inside_path);
  return builder;
}

}  // namespace

sandbox::PolicyBuilder BasePolicy(const RuntimeEnvironment& environment) {
  sandbox::PolicyBuilder builder;
  builder.SetProfile(sandbox::SeccompProfile::kPython).AllowJustInTimeCode();
  if (environment.venv.empty()) {
    builder.UseRootImage(environment.root.native());
  } else {
    builder.UseHostSystem().AddReadOnlyExecutable(environment.venv.native(), kVenvInside);
  }
  return builder;
}

absl::StatusOr<sandbox::SandboxPolicy> PolicyFor(const RuntimeEnvironment& environment,
                                                 const std::filesystem::path& executors_path,
                                                 const Executor& executor,
                                                 const models::Model& model,
                                                 inference::ExecutionLimits limits) {
  const models::Manifest& manifest = model.manifest;
  if (manifest.timeout) {
    limits.wall_clock = std::min<std::chrono::milliseconds>(limits.wall_clock, *manifest.timeout);
  }
  if (manifest.memory_bytes) {
    limits.memory_bytes = std::min(limits.memory_bytes, *manifest.memory_bytes);
  }
  sandbox::PolicyBuilder builder =
      executor.native()
          ? NativePolicy(environment, executor)
          : BasePolicy(environment).AddReadOnly(executors_path.native(), kExecutorsInside);
  return builder.AddReadOnly(model.root.native(), InsideRoot(model)).SetLimits(limits).Build();
}

}  // namespace ncn::executors
