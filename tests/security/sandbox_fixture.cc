#include "sandbox_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "base/check.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "sandbox/unconfined_sandbox.h"

namespace ncn::sandbox {
namespace {

std::unique_ptr<NamespaceSandbox> Make(SandboxMode mode) {
  auto sandbox = NamespaceSandbox::Create(mode, NCN_LAUNCHER);
  NCN_CHECK(sandbox.ok());
  return *std::move(sandbox);
}

// The words of the command and its environment, as exec_zygote.c reads them.
std::string OrdersFor(const SandboxCommand& command) {
  std::string orders;
  for (const auto* list : {&command.argv, &command.environment}) {
    for (const std::string& word : *list) orders.append(word).push_back('\0');
    orders.push_back('\0');
  }
  return orders;
}

// A child that is told what to become when it is let go.
class ExecutingChild final : public SandboxedProcess {
 public:
  ExecutingChild(std::unique_ptr<SandboxedProcess> child, base::UniqueFd input, std::string orders)
      : child_(std::move(child)), input_(std::move(input)), orders_(std::move(orders)) {}

  absl::Status Verify() override { return child_->Verify(); }
  absl::StatusOr<base::UniqueFd> OpenInside(const std::string& inside_path) const override {
    return child_->OpenInside(inside_path);
  }
  absl::Status Release() override {
    RETURN_IF_ERROR(base::WriteAll(input_.get(), orders_));
    input_.reset();
    return child_->Release();
  }
  absl::StatusOr<SandboxOutcome> Wait(std::stop_token stop) override { return child_->Wait(stop); }
  void Kill() override { child_->Kill(); }
  int pid() const override { return child_->pid(); }

 private:
  std::unique_ptr<SandboxedProcess> child_;
  base::UniqueFd input_;
  std::string orders_;
};

class ZygoteCommands final : public Sandbox {
 public:
  explicit ZygoteCommands(Zygote& zygote) : zygote_(zygote) {}
  SandboxMode mode() const override { return zygote_.children().mode(); }
  absl::StatusOr<std::unique_ptr<SandboxedProcess>> Start(const SandboxPolicy& policy,
                                                          SandboxCommand command) override {
    int ends[2];
    NCN_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    const base::UniqueFd theirs(ends[0]);
    base::UniqueFd ours(ends[1]);
    std::string orders = OrdersFor(command);
    command.stdin_fd = theirs.get();
    ASSIGN_OR_RETURN(auto child, zygote_.children().Start(policy, std::move(command)));
    return std::make_unique<ExecutingChild>(std::move(child), std::move(ours), std::move(orders));
  }

 private:
  Zygote& zygote_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Zygote>> StartTestZygote() { return StartTestZygote(Strict()); }

absl::StatusOr<std::unique_ptr<Zygote>> StartTestZygote(Sandbox& sandbox) {
  inference::ExecutionLimits limits;
  limits.processes = 1000;
  ASSIGN_OR_RETURN(const SandboxPolicy policy,
                   PolicyBuilder()
                       .UseHostSystem()
                       .AddReadOnlyExecutable(NCN_HOSTILE_FOLDER, "/hostile")
                       .AddReadOnlyExecutable(NCN_EXEC_ZYGOTE, "/zygote/exec_zygote")
                       .AddReadOnlyExecutable(NCN_ZYGOTE_LIBRARY, "/zygote/libncn_zygote.so")
                       .AddReadOnly(std::filesystem::temp_directory_path().native(), "/scratch")
                       .SetProfile(SeccompProfile::kZygote)
                       .AllowJustInTimeCode()
                       .SetLimits(limits)
                       .Build());
  SandboxCommand command;
  command.argv = {"/zygote/exec_zygote", "/zygote/libncn_zygote.so",
                  std::to_string(kZygoteRequests), std::to_string(kZygoteDoorbell)};
  command.lifetime = std::chrono::hours(1);
  return sandbox.StartZygote(policy, std::move(command));
}

std::unique_ptr<Sandbox> CommandsOn(Zygote& zygote) {
  return std::make_unique<ZygoteCommands>(zygote);
}

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

SandboxPolicy TestPolicy(const inference::ExecutionLimits& limits, SeccompProfile profile) {
  auto policy = PolicyBuilder()
                    .UseHostSystem()
                    .AddReadOnlyExecutable(NCN_HOSTILE_FOLDER, "/hostile")
                    .SetProfile(profile)
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

Sandbox& OnZygote() {
  static Zygote& zygote = *[] {
    auto started = StartTestZygote();
    NCN_CHECK(started.ok());
    return started->release();
  }();
  static Sandbox& sandbox = *CommandsOn(zygote).release();
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
