#include "sandbox_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <charconv>
#include <filesystem>

#include "base/check.h"
#include "base/files.h"
#include "sandbox/unconfined_sandbox.h"

namespace ncn::sandbox {
namespace {

std::unique_ptr<NamespaceSandbox> Make(SandboxMode mode) {
  auto sandbox = NamespaceSandbox::Create(mode, NCN_LAUNCHER);
  NCN_CHECK(sandbox.ok());
  return *std::move(sandbox);
}

}  // namespace

ScratchFolder::ScratchFolder()
    : path_((std::filesystem::temp_directory_path() / "ncn-test-XXXXXX").native()) {
  NCN_CHECK(::mkdtemp(path_.data()) != nullptr);
  NCN_CHECK(::chmod(path_.c_str(), 0755) == 0);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

inference::ExecutionLimits TestLimits() {
  inference::ExecutionLimits limits;
  limits.wall_clock = std::chrono::seconds(60);
  limits.cpu_time = std::chrono::seconds(30);
  limits.memory_bytes = 128 << 20;
  limits.output_bytes = 16 << 20;
  limits.workspace_bytes = 32 << 20;
  limits.workspace_inodes = 512;
  limits.processes = 32;
  limits.open_files = 256;
  return limits;
}

SandboxPolicy TestPolicy(const inference::ExecutionLimits& limits) {
  auto policy = PolicyBuilder()
                    .UseHostSystem()
                    .AddReadOnlyExecutable(NCN_HOSTILE_FOLDER, "/hostile")
                    .SetLimits(limits)
                    .Build();
  NCN_CHECK(policy.ok());
  return *std::move(policy);
}

SandboxCommand Hostile(std::vector<std::string> words) {
  SandboxCommand command;
  words[0] = "/hostile/" + words[0];
  command.argv = std::move(words);
  command.environment = {"PATH=/usr/bin"};
  return command;
}

SandboxCommand Shell(const std::string& line) {
  SandboxCommand command;
  command.argv = {"/usr/bin/sh", "-c", line};
  command.environment = {"PATH=/usr/bin"};
  return command;
}

NamespaceSandbox& Strict() {
  static NamespaceSandbox& sandbox = *Make(SandboxMode::kStrict).release();
  return sandbox;
}

NamespaceSandbox& Permissive() {
  static NamespaceSandbox& sandbox = *Make(SandboxMode::kPermissive).release();
  return sandbox;
}

Sandbox& Disabled() {
  static Sandbox& sandbox = *new UnconfinedSandbox;
  return sandbox;
}

std::vector<int> ProcessesNamed(const std::string& name) {
  std::vector<int> pids;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string word = entry.path().filename();
    int pid = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), pid).ptr !=
        word.data() + word.size()) {
      continue;
    }
    const auto found = base::ReadFile(entry.path() / "comm", 64);
    if (found.ok() && *found == name.substr(0, 15) + "\n") pids.push_back(pid);
  }
  return pids;
}

}  // namespace ncn::sandbox
