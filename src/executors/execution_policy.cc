#include "executors/execution_policy.h"

#include <algorithm>

#include "base/strings.h"

namespace ncn::executors {

std::string InsidePath(const models::Model& model) {
  return base::StrCat(kModelInside, "/", model.relative_file);
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
  return builder
      .AddReadOnly(model.root.native(), model.is_folder ? kModelInside : InsidePath(model))
      .SetLimits(limits)
      .Build();
}

}  // namespace ncn::executors
