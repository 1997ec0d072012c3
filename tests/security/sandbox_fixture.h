#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sandbox/namespace_sandbox.h"
#include "sandbox/sandbox.h"

namespace ncn::sandbox {

// A folder below the temporary one that everybody may read; removed with its contents.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Small limits, so that attacks on them end soon.
inference::ExecutionLimits TestLimits();
// A zygote of its own, of exec_zygote.c, and a sandbox whose commands become its children.
absl::StatusOr<std::unique_ptr<Zygote>> StartTestZygote(Sandbox& sandbox);
absl::StatusOr<std::unique_ptr<Zygote>> StartTestZygote();  // In strict mode.
std::unique_ptr<Sandbox> CommandsOn(Zygote& zygote);
// The host's /usr and /hostile, the folder of hostile programs.
SandboxPolicy TestPolicy(const inference::ExecutionLimits& limits = TestLimits(),
                         SeccompProfile profile = SeccompProfile::kPython);
// "/hostile/<words[0]>" with the other words.
SandboxCommand Hostile(std::vector<std::string> words);
// One that runs a line of shell.
SandboxCommand Shell(const std::string& line);

// One sandbox of each mode for all tests of the process.
NamespaceSandbox& Strict();
NamespaceSandbox& Permissive();
Sandbox& Disabled();
// Commands become children of one zygote: forked from it, not from the launcher.
Sandbox& OnZygote();

// The pids of all processes whose command name is `name`.
std::vector<int> ProcessesNamed(const std::string& name);

}  // namespace ncn::sandbox
