#pragma once

#include <memory>

#include "sandbox/sandbox.h"

namespace ncn::benchmarks {

// Each prints its figures as one JSON object and returns the exit status: 0 measured (and nothing
// left behind), 1 otherwise.

// How long /usr/bin/true takes from nothing to its end: bare, in a strict sandbox and in
// bubblewrap with the same binds, taking turns `runs` times.
int MeasureColdStart(sandbox::Sandbox& sandbox, const sandbox::SandboxPolicy& policy, int runs);

// Runs `count` sandboxes one after the other, then looks for what they left.
int LookForLeftovers(std::unique_ptr<sandbox::Sandbox> sandbox,
                     const sandbox::SandboxPolicy& policy, int count);

}  // namespace ncn::benchmarks
