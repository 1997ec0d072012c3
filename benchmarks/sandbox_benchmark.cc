// Measures the sandbox through its own interface:
//   sandbox_benchmark cold-start RUNS
//   sandbox_benchmark soak COUNT
//   sandbox_benchmark hold COUNT     starts that many sleepers, prints "ready", waits to be killed

#include "benchmarks/sandbox_benchmark.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace ncn::benchmarks {
namespace {

int Complain(const absl::Status& status) {
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Hold(sandbox::Sandbox& sandbox, const sandbox::SandboxPolicy& policy, int count) {
  std::vector<std::unique_ptr<sandbox::SandboxedProcess>> running;
  for (int i = 0; i < count; ++i) {
    auto process = sandbox.Start(policy, {.argv = {"/usr/bin/sleep", "600"}});
    if (!process.ok()) return Complain(process.status());
    for (const absl::Status& status : {(*process)->Verify(), (*process)->Release()}) {
      if (!status.ok()) return Complain(status);
    }
    running.push_back(*std::move(process));
  }
  std::printf("ready\n");
  std::fflush(stdout);
  ::pause();
  return 0;
}

int Main(std::string_view what, int count) {
  auto sandbox = sandbox::CreateSandbox({sandbox::SandboxMode::kStrict, NCN_LAUNCHER});
  if (!sandbox.ok()) return Complain(sandbox.status());
  const auto policy = sandbox::PolicyBuilder().UseHostSystem().Build();
  if (!policy.ok()) return Complain(policy.status());
  if (what == "cold-start") return MeasureColdStart(**sandbox, *policy, count);
  if (what == "soak") return LookForLeftovers(*std::move(sandbox), *policy, count);
  if (what == "hold") return Hold(**sandbox, *policy, count);
  std::fprintf(stderr, "Error: no measurement is called so.\n");
  return 2;
}

}  // namespace
}  // namespace ncn::benchmarks

int main(int argc, char** argv) {
  const int count = argc == 3 ? static_cast<int>(std::strtol(argv[2], nullptr, 10)) : 0;
  if (count < 1) {
    std::fprintf(stderr, "Usage: sandbox_benchmark cold-start|soak|hold COUNT\n");
    return 2;
  }
  return ncn::benchmarks::Main(argv[1], count);
}
