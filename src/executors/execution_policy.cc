#include "executors/execution_policy.h"

#include <algorithm>

#include "base/strings.h"
#include "executors/executor_selector.h"

namespace ncn::executors {

std::string InsidePath(const models::Model& model) {
  return base::StrCat(kModelInside, "/", model.relative_file);
}

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
                                                 const models::Model& model,
                                                 inference::ExecutionLimits limits) {
  const models::Manifest& manifest = model.manifest;
  if (manifest.timeout) {
    limits.wall_clock = std::min<std::chrono::milliseconds>(limits.wall_clock, *manifest.timeout);
  }
  if (manifest.memory_bytes) {
    limits.memory_bytes = std::min(limits.memory_bytes, *manifest.memory_bytes);
  }
  return BasePolicy(environment)
      .AddReadOnly(executors_path.native(), kExecutorsInside)
      .AddReadOnly(model.root.native(), model.is_folder ? kModelInside : InsidePath(model))
      .SetLimits(limits)
      .Build();
}

}  // namespace ncn::executors
