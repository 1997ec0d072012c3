// A node without anything but sandboxes: starts some, prints their pids and "ready", and waits to
// be killed. For the test that nothing survives that.

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "sandbox/sandbox.h"

int main(int argc, char** argv) {
  using namespace ncn::sandbox;
  if (argc != 3) return 2;
  auto sandbox = CreateSandbox({SandboxMode::kStrict, argv[1]});
  if (!sandbox.ok()) return 1;
  const auto policy =
      PolicyBuilder().UseHostSystem().AddReadOnlyExecutable(argv[2], "/hostile").Build();
  if (!policy.ok()) return 1;
  std::vector<std::unique_ptr<SandboxedProcess>> running;
  for (int i = 0; i < 8; ++i) {
    SandboxCommand command;
    command.argv = {"/hostile/sleep_long", "600"};
    auto process = (*sandbox)->Start(*policy, command);
    if (!process.ok() || !(*process)->Verify().ok()) return 1;
    // Some held, some running.
    if (i % 2 == 0 && !(*process)->Release().ok()) return 1;
    std::printf("%d\n", (*process)->pid());
    running.push_back(*std::move(process));
  }
  std::printf("ready\n");
  std::fflush(stdout);
  ::pause();
  return 0;
}
