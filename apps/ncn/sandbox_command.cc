#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "apps/ncn/command.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/sandbox.h"

namespace ncn::apps {
namespace {

namespace fs = std::filesystem;
using sandbox::OutcomeKind;
using sandbox::SandboxOutcome;

// What a shell's user knows from env and timeout: the command itself could not be run.
constexpr int kRefusedStatus = 125;
constexpr int kSignalBase = 128;
constexpr int kKilled = 9;
constexpr std::size_t kInputBytesMax = 1ULL << 30;

struct RunOptions {
  std::string mode = "strict";
  std::string profile = "python";
  std::string exec_memory;
  std::string image = "host";
  std::vector<std::string> binds;
  std::vector<std::string> inputs;
  double timeout_seconds = 300;
  std::uint64_t memory_mb = 4096;
  bool json = false;
  std::vector<std::string> command;
};

absl::Status AddBind(const std::string& text, sandbox::PolicyBuilder& builder) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) {
    return absl::InvalidArgumentError(
        base::StrCat("--bind ", text, " is not HOST:INSIDE, such as ./model:/model"));
  }
  std::error_code error;
  const fs::path host = fs::canonical(text.substr(0, colon), error);
  if (error) {
    return absl::NotFoundError(
        base::StrCat("--bind ", text, ": ", text.substr(0, colon), ": ", error.message()));
  }
  builder.AddReadOnlyExecutable(host.native(), text.substr(colon + 1));
  return absl::OkStatus();
}

absl::StatusOr<sandbox::SandboxPolicy> MakePolicy(const RunOptions& options) {
  sandbox::PolicyBuilder builder;
  if (options.image == "host") {
    builder.UseHostSystem();
  } else {
    std::error_code error;
    const fs::path image = fs::canonical(options.image, error);
    if (error) {
      return absl::NotFoundError(base::StrCat("--image ", options.image, ": ", error.message(),
                                              "; runtime_image/build makes one and prints where"));
    }
    builder.UseRootImage(image.native());
  }
  for (const std::string& bind : options.binds) RETURN_IF_ERROR(AddBind(bind, builder));
  const bool python = options.profile == "python";
  builder.SetProfile(python ? sandbox::SeccompProfile::kPython : sandbox::SeccompProfile::kNative);
  // As a node runs its executors, unless told otherwise.
  if (options.exec_memory.empty() ? python : options.exec_memory == "jit") {
    builder.AllowJustInTimeCode();
  }
  inference::ExecutionLimits limits;
  limits.wall_clock =
      std::chrono::milliseconds(static_cast<std::int64_t>(options.timeout_seconds * 1000));
  limits.memory_bytes = options.memory_mb << 20;
  return builder.SetLimits(limits).Build();
}

// `name` as a path of the inside: itself when it has a slash, otherwise where the root has it.
std::string ProgramPath(const std::string& name, const sandbox::SandboxPolicy& policy) {
  if (name.find('/') != std::string::npos) return name;
  std::error_code ignored;
  for (const char* folder : {"/usr/bin/", "/usr/sbin/"}) {
    const fs::path found = fs::path(policy.root() + folder + name);
    if (fs::exists(fs::symlink_status(found, ignored))) return folder + name;
  }
  return "/usr/bin/" + name;
}

absl::StatusOr<sandbox::SandboxCommand> MakeCommand(const RunOptions& options,
                                                    const sandbox::SandboxPolicy& policy) {
  sandbox::SandboxCommand command;
  command.argv = options.command;
  command.argv[0] = ProgramPath(command.argv[0], policy);
  command.environment = {"PATH=/usr/bin:/bin", "HOME=/work", "TMPDIR=/tmp", "LANG=C.UTF-8",
                         "PYTHONDONTWRITEBYTECODE=1"};
  for (const std::string& input : options.inputs) {
    ASSIGN_OR_RETURN(std::string bytes, base::ReadFile(input, kInputBytesMax));
    command.files.push_back({fs::path(input).filename().native(), std::move(bytes)});
  }
  return command;
}

int ExitStatus(const SandboxOutcome& outcome) {
  if (outcome.kind == OutcomeKind::kExited) return outcome.exit_code;
  return kSignalBase + (outcome.kind == OutcomeKind::kSignalled ? outcome.signal : kKilled);
}

double Milliseconds(std::chrono::microseconds time) {
  return static_cast<double>(time.count()) / 1000;
}

std::string Or(const std::vector<std::string>& words, const char* none) {
  return words.empty() ? none : absl::StrJoin(words, " ");
}

// For people, after what the command itself wrote.
void PrintReport(const SandboxOutcome& outcome, const sandbox::SandboxPolicy& policy,
                 const std::string& mode) {
  std::chrono::microseconds setup{0};
  for (const sandbox::SetupStepTime& step : outcome.steps) setup += step.taken;
  std::string text = absl::StrFormat("ended     %s\n", outcome.Describe());
  absl::StrAppendFormat(&text, "mode      %s\n", mode);
  absl::StrAppendFormat(&text, "layers    %s\n", Or(outcome.layers, "none"));
  for (const std::string& missing : outcome.missing) {
    absl::StrAppendFormat(&text, "missing   %s\n", missing);
  }
  if (const auto denied = outcome.DeniedPath()) {
    absl::StrAppendFormat(&text, "denied    %s\n", *denied);
  }
  absl::StrAppendFormat(&text, "usage     wall %.1f ms, CPU %.1f ms, peak memory %.1f MiB\n",
                        Milliseconds(outcome.usage.wall), Milliseconds(outcome.usage.cpu),
                        static_cast<double>(outcome.usage.peak_memory_bytes) / (1 << 20));
  absl::StrAppendFormat(&text, "policy    %s\n", policy.Hash());
  if (!outcome.steps.empty()) {
    absl::StrAppendFormat(&text, "set-up    %.2f ms\n", Milliseconds(setup));
  }
  for (const sandbox::SetupStepTime& step : outcome.steps) {
    absl::StrAppendFormat(&text, "  %8.3f  %s\n", Milliseconds(step.taken), step.name);
  }
  std::fprintf(stderr, "%s", text.c_str());
}

void PrintJson(const SandboxOutcome& outcome, const sandbox::SandboxPolicy& policy,
               const std::string& mode) {
  nlohmann::json steps = nlohmann::json::array();
  for (const sandbox::SetupStepTime& step : outcome.steps) {
    steps.push_back({{"name", step.name}, {"taken_us", step.taken.count()}});
  }
  nlohmann::json report = {{"ended", sandbox::Name(outcome.kind)},
                           {"description", outcome.Describe()},
                           {"exit_status", ExitStatus(outcome)},
                           {"mode", mode},
                           {"layers", outcome.layers},
                           {"missing", outcome.missing},
                           {"wall_us", outcome.usage.wall.count()},
                           {"cpu_us", outcome.usage.cpu.count()},
                           {"peak_memory_bytes", outcome.usage.peak_memory_bytes},
                           {"steps", steps},
                           {"policy_hash", policy.Hash()},
                           {"stdout", outcome.stdout_tail},
                           {"stderr", outcome.stderr_tail}};
  if (const auto denied = outcome.DeniedPath()) report["denied_path"] = *denied;
  // What a command writes need not be UTF-8.
  using Json = nlohmann::json;
  std::printf("%s\n", report.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

int Refuse(const absl::Status& status, const RunOptions& options) {
  const std::string message(status.message());
  if (options.json) {
    const nlohmann::json report = {
        {"ended", "refused"}, {"description", message}, {"exit_status", kRefusedStatus}};
    std::printf("%s\n", report.dump(2).c_str());
  }
  std::fprintf(stderr, "Error: %s\n", message.c_str());
  return kRefusedStatus;
}

int Run(const RunOptions& options) {
  const auto mode = sandbox::SandboxModeFromName(options.mode);
  auto sandbox = sandbox::CreateSandbox({.mode = *mode});
  if (!sandbox.ok()) return Refuse(sandbox.status(), options);
  const auto policy = MakePolicy(options);
  if (!policy.ok()) return Refuse(policy.status(), options);
  auto command = MakeCommand(options, *policy);
  if (!command.ok()) return Refuse(command.status(), options);
  const auto outcome = (*sandbox)->Run(*policy, *std::move(command));
  if (!outcome.ok()) return Refuse(outcome.status(), options);
  if (options.json) {
    PrintJson(*outcome, *policy, options.mode);
    return ExitStatus(*outcome);
  }
  // As the command wrote them, whatever the bytes; when nobody reads them there is nothing to do.
  (void)base::WriteAll(STDOUT_FILENO, outcome->stdout_tail);
  (void)base::WriteAll(STDERR_FILENO, outcome->stderr_tail);
  PrintReport(*outcome, *policy, options.mode);
  return ExitStatus(*outcome);
}

void AddRunOptions(CLI::App& run, RunOptions& options) {
  run.add_option("--mode", options.mode, "strict: every layer or nothing runs")
      ->check(CLI::IsMember({"strict", "permissive", "disabled"}))
      ->capture_default_str();
  run.add_option("--profile", options.profile, "System calls that are allowed")
      ->check(CLI::IsMember({"python", "native"}))
      ->capture_default_str();
  run.add_option("--exec-memory", options.exec_memory,
                 "Whether code may be made while running; jit for the profile python, denied for "
                 "native when not given")
      ->check(CLI::IsMember({"jit", "denied"}));
  run.add_option("--image", options.image,
                 "Root file system to run in, as runtime_image/build prints it; host: this "
                 "machine's own /usr")
      ->capture_default_str();
  run.add_option("--bind", options.binds,
                 "HOST:INSIDE, a file or folder to show inside, read-only; repeat for more")
      ->type_name("HOST:INSIDE");
  run.add_option("--input", options.inputs, "File to copy into /work; repeat for more");
  run.add_option("--timeout", options.timeout_seconds, "Seconds after which it is killed")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  run.add_option("--memory-mb", options.memory_mb, "Memory that it may use, in MiB")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  run.add_flag("--json", options.json, "Print one JSON object with output and report instead");
  run.add_option("command", options.command, "Program and arguments, after --")->required();
  for (const char* list : {"--bind", "--input"}) {
    run.get_option(list)->allow_extra_args(false);
  }
}

}  // namespace

void AddSandboxCommand(CLI::App& app, Chosen& chosen) {
  CLI::App* command = app.add_subcommand("sandbox", "Try the sandbox");
  command->require_subcommand(1);
  CLI::App* run = command->add_subcommand(
      "run",
      "Run a command in the sandbox; then tell, on standard error, how it ended and what held it.\n"
      "The exit status is the command's, 128 + the signal that ended it (137 when a limit or a\n"
      "forbidden system call did), or 125 when the sandbox refused to run it.");
  auto options = std::make_shared<RunOptions>();
  AddRunOptions(*run, *options);
  run->callback([&chosen, options] { chosen.run = [options] { return Run(*options); }; });
}

}  // namespace ncn::apps
