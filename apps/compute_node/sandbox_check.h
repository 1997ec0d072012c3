#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "executors/cold_script_runner.h"
#include "inference/limits.h"
#include "sandbox/sandbox.h"

namespace ncn::apps {

// Runs the environment's Python once in the sandbox, so that a node that could not run anything
// says so at its start. Returns the layers really in force. In `permissive` mode what is missing is
// logged; in `disabled` mode a warning is. The error names the layer, the cause and the cure.
absl::StatusOr<std::vector<std::string>> CheckSandbox(
    sandbox::Sandbox& sandbox, const executors::RuntimeEnvironment& environment,
    const inference::ExecutionLimits& limits);

}  // namespace ncn::apps
