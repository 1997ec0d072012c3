#include "apps/compute_node/sandbox_check.h"

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/execution_policy.h"

namespace ncn::apps {

absl::StatusOr<std::vector<std::string>> CheckSandbox(
    sandbox::Sandbox& sandbox, const executors::RuntimeEnvironment& environment,
    const inference::ExecutionLimits& limits) {
  sandbox::PolicyBuilder builder = executors::BasePolicy(environment);
  builder.SetLimits(limits);
  ASSIGN_OR_RETURN(const sandbox::SandboxPolicy policy, builder.Build());
  ASSIGN_OR_RETURN(const sandbox::SandboxOutcome outcome,
                   sandbox.Run(policy, {.argv = {environment.python, "-I", "-S", "-c", "pass"},
                                        .environment = {"PATH=/usr/bin:/bin"}}));
  if (!outcome.Succeeded()) {
    return absl::FailedPreconditionError(base::StrCat(
        "Sandbox execution failed: ", outcome.Describe(), " when trying ", environment.python,
        " in ", environment.root.native(), "; build the image anew with runtime_image/build"));
  }
  for (const std::string& missing : outcome.missing) {
    base::Log("sandbox").warn("SANDBOX_MODE={}: without {}", sandbox::Name(sandbox.mode()),
                              missing);
  }
  return outcome.layers;
}

}  // namespace ncn::apps
