#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <system_error>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "apps/ncn/command.h"
#include "apps/ncn/presentation.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "config/locations.h"
#include "executors/execution_policy.h"
#include "executors/executor_report.h"
#include "executors/executor_selector.h"
#include "executors/runtime_environment.h"
#include "models/model_store.h"
#include "sandbox/sandbox.h"

namespace ncn::apps {
namespace {

namespace fs = std::filesystem;
using executors::Printable;
using nlohmann::json;
using sandbox::SandboxOutcome;

constexpr int kRefusedStatus = 125;
constexpr std::size_t kInputBytesMax = 256ULL << 20;
constexpr std::size_t kMessageBytesMax = 2000;
constexpr char kGivenFile[] = "given";

struct TestOptions {
  std::string folder;
  std::string input;
  std::string content_type;
  std::string accept;
  std::string executor;
  std::uint64_t seed = 1;
  double timeout_seconds = 300;
  std::uint64_t memory_mb = 4096;
  std::uint32_t threads = 1;
  std::string mode = "strict";
  std::string image = config::DefaultRuntimeImage().native();
  std::string executors_path = "python_executors";
  bool json = false;
};

// One thing that was looked at.
struct Check {
  std::string name;
  std::string status;  // "ok", "failed" or "skipped".
  std::string message;
  std::optional<double> took_ms = {};
};

struct Report {
  std::vector<Check> checks;
  std::optional<SandboxOutcome> outcome;

  bool ok() const {
    return !checks.empty() && std::all_of(checks.begin(), checks.end(), [](const Check& check) {
      // Only the warm-up may be left out.
      return check.status == "ok" || (check.status == "skipped" && check.name == "warm-up");
    });
  }
};

// The candidate as a node would find it in its folder of models.
absl::StatusOr<std::shared_ptr<const models::Model>> FindCandidate(const std::string& folder) {
  std::error_code error;
  const fs::path path = fs::canonical(folder, error);
  if (error || !fs::is_directory(path)) {
    return absl::NotFoundError(base::StrCat(folder, " is not a folder with a model in it"));
  }
  ASSIGN_OR_RETURN(const inference::ModelId id,
                   inference::ModelId::Parse(path.filename().native()));
  return models::ModelStore(path.parent_path()).Find(id);
}

// The node's executors, the native one where the environment can run it.
absl::StatusOr<executors::ExecutorSelector> MakeSelector(
    const executors::RuntimeEnvironment& environment, const fs::path& executors_path) {
  const fs::path native = sandbox::BesideProgram("ncn_native_executor");
  std::error_code error;
  const bool has_native = !environment.onnxruntime.empty() && fs::exists(native, error);
  return executors::ExecutorSelector::Create(executors_path, has_native ? native : fs::path());
}

// Those that a node would ask about such a request, best first; the one that the options name.
absl::StatusOr<std::vector<executors::Executor>> Candidates(
    const TestOptions& options, const models::Model& model,
    const executors::ExecutorSelector& selector) {
  if (!options.executor.empty()) {
    ASSIGN_OR_RETURN(executors::Executor named, selector.Named(options.executor));
    return std::vector{std::move(named)};
  }
  std::string type = options.content_type;
  if (type.empty()) {
    type = options.input.empty() ? model.manifest.warm_up_type : MediaTypeOf(options.input);
  }
  return selector.Candidates(model, type.empty() ? "application/json" : type, options.accept);
}

absl::StatusOr<sandbox::SandboxPolicy> MakePolicy(const TestOptions& options,
                                                  const executors::RuntimeEnvironment& environment,
                                                  const models::Model& model,
                                                  const fs::path& executors_path) {
  inference::ExecutionLimits limits;
  limits.wall_clock =
      std::chrono::milliseconds(static_cast<std::int64_t>(options.timeout_seconds * 1000));
  limits.memory_bytes = options.memory_mb << 20;
  // Of its time-out, which is a request's, examine.py takes care.
  if (model.manifest.memory_bytes) {
    limits.memory_bytes = std::min(limits.memory_bytes, *model.manifest.memory_bytes);
  }
  return executors::BasePolicy(environment)
      .AddReadOnly(executors_path.native(), executors::kExecutorsInside)
      .AddReadOnly(model.root.native(), executors::kModelInside)
      .SetLimits(limits)
      .Build();
}

absl::StatusOr<sandbox::SandboxCommand> MakeCommand(const TestOptions& options,
                                                    const std::string& python,
                                                    const models::Model& model,
                                                    const std::string& script,
                                                    std::uint64_t output_bytes_max) {
  sandbox::SandboxCommand command{
      .argv = {python, "-s", base::StrCat(executors::kExecutorsInside, "/examine.py"), "--model",
               executors::InsidePath(model), "--script", script, "--accept", options.accept,
               "--seed", std::to_string(options.seed), "--output-bytes-max",
               std::to_string(output_bytes_max), "--timeout",
               std::to_string(model.manifest.timeout.value_or(std::chrono::seconds(0)).count())},
      .environment = {"PATH=/usr/bin:/bin", "HOME=/work", "TMPDIR=/tmp", "LANG=C.UTF-8",
                      "PYTHONDONTWRITEBYTECODE=1", "UCX_VFS_ENABLE=n", "UCX_LOG_LEVEL=fatal",
                      base::StrCat("PYTHONPATH=", executors::kExecutorsInside),
                      base::StrCat("NCN_THREADS=", options.threads)}};
  if (!options.input.empty()) {
    ASSIGN_OR_RETURN(std::string bytes, base::ReadFile(options.input, kInputBytesMax));
    command.files.push_back({kGivenFile, std::move(bytes)});
    const std::string type =
        options.content_type.empty() ? MediaTypeOf(options.input) : options.content_type;
    for (const std::string& word :
         {std::string("--input"), base::StrCat(sandbox::kWorkFolder, "/", kGivenFile),
          std::string("--content-type"), type}) {
      command.argv.push_back(word);
    }
  }
  return command;
}

std::string Text(const json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_string()) return "";
  return Printable(found->get_ref<const std::string&>(), kMessageBytesMax);
}

// What examine.py printed; the candidate ran in the same process and may have said anything.
std::vector<Check> ReadChecks(const SandboxOutcome& outcome) {
  std::vector<Check> checks;
  std::string begun;
  std::istringstream lines(outcome.stdout_tail);
  for (std::string line; std::getline(lines, line) && checks.size() < 32;) {
    const json said = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!said.is_object()) continue;
    if (said.contains("begin")) begun = Text(said, "begin");
    if (!said.contains("check")) continue;
    Check check{Text(said, "check"), Text(said, "status"), Text(said, "message")};
    if (const auto took = said.find("took_ms"); took != said.end() && took->is_number()) {
      check.took_ms = took->get<double>();
    }
    checks.push_back(std::move(check));
    begun.clear();
  }
  if (outcome.kind == sandbox::OutcomeKind::kExited && begun.empty() && !checks.empty()) {
    return checks;
  }
  std::string message = outcome.Describe();
  if (const auto denied = outcome.DeniedPath()) {
    message += base::StrCat("; access denied to ", Printable(*denied, 256));
  }
  checks.push_back({begun.empty() ? "start" : begun, "failed", std::move(message)});
  return checks;
}

absl::StatusOr<Report> Examine(const TestOptions& options, const models::Model& model,
                               sandbox::Sandbox& sandbox) {
  const fs::path executors_path =
      fs::absolute(config::FindBesideProgram(options.executors_path)).lexically_normal();
  ASSIGN_OR_RETURN(const auto environment,
                   executors::RuntimeEnvironment::Locate(executors_path, options.image));
  ASSIGN_OR_RETURN(const auto selector, MakeSelector(environment, executors_path));
  Report report;
  report.checks.push_back({"model", "ok",
                           base::StrCat(models::Description(model.format), ", ", model.size_bytes,
                                        " bytes, SHA-256 ", model.sha256)});
  const auto candidates = Candidates(options, model, selector);
  if (!candidates.ok()) {
    report.checks.push_back({"executor", "failed", std::string(candidates.status().message())});
    return report;
  }
  // Python examines: in place of the native executor the next one, which answers with the same
  // bytes.
  const bool native_first = candidates->front().native();
  const executors::Executor& executor = (*candidates)[native_first ? 1 : 0];
  report.checks.push_back(
      {"executor", "ok",
       base::StrCat(executor.name, native_first
                                       ? base::StrCat("; a node asks ", candidates->front().name,
                                                      " first, which is not examined")
                                       : "")});
  ASSIGN_OR_RETURN(const auto policy, MakePolicy(options, environment, model, executors_path));
  ASSIGN_OR_RETURN(auto command, MakeCommand(options, environment.python, model,
                                             executor.inside_path, policy.limits().output_bytes));
  ASSIGN_OR_RETURN(SandboxOutcome outcome, sandbox.Run(policy, std::move(command)));
  for (Check& check : ReadChecks(outcome)) report.checks.push_back(std::move(check));
  report.outcome = std::move(outcome);
  return report;
}

void Print(const Report& report) {
  for (const Check& check : report.checks) {
    const std::string took = check.took_ms ? absl::StrFormat("%9.1f ms", *check.took_ms) : "";
    std::printf("%-8s%-9s%12s  %s\n", check.status == "failed" ? "FAILED" : check.status.c_str(),
                check.name.c_str(), took.c_str(), check.message.c_str());
  }
  if (!report.outcome) return;
  const SandboxOutcome& outcome = *report.outcome;
  std::printf("used    %.1f ms of CPU, %.1f MiB of memory at most\n",
              static_cast<double>(outcome.usage.cpu.count()) / 1000,
              static_cast<double>(outcome.usage.peak_memory_bytes) / (1 << 20));
  std::printf("layers  %s\n", absl::StrJoin(outcome.layers, " ").c_str());
  const auto denied = outcome.DeniedPath();
  if (denied) std::printf("denied  %s\n", Printable(*denied, 256).c_str());
  if (!report.ok() && !outcome.stderr_tail.empty()) {
    std::printf("what the candidate printed:\n%s\n", outcome.stderr_tail.c_str());
  }
}

void PrintJson(const Report& report) {
  json checks = json::array();
  for (const Check& check : report.checks) {
    json entry = {{"name", check.name}, {"status", check.status}, {"message", check.message}};
    if (check.took_ms) entry["took_ms"] = *check.took_ms;
    checks.push_back(std::move(entry));
  }
  json text = {{"ok", report.ok()}, {"checks", std::move(checks)}};
  if (report.outcome) {
    const SandboxOutcome& outcome = *report.outcome;
    text["cpu_us"] = outcome.usage.cpu.count();
    text["peak_memory_bytes"] = outcome.usage.peak_memory_bytes;
    text["layers"] = outcome.layers;
    text["stderr"] = outcome.stderr_tail;
    if (const auto denied = outcome.DeniedPath()) text["denied_path"] = *denied;
  }
  std::printf("%s\n", text.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

int Test(const TestOptions& options) {
  // The launcher is forked off before anything here has a thread.
  auto sandbox = sandbox::CreateSandbox({.mode = *sandbox::SandboxModeFromName(options.mode)});
  if (!sandbox.ok()) {
    Fail(sandbox.status());
    return kRefusedStatus;
  }
  const auto model = FindCandidate(options.folder);
  Report report;
  if (!model.ok()) {
    report.checks.push_back({"model", "failed", std::string(model.status().message())});
  } else {
    auto examined = Examine(options, **model, **sandbox);
    if (!examined.ok()) {
      Fail(examined.status());
      return kRefusedStatus;
    }
    report = *std::move(examined);
  }
  if (options.json) {
    PrintJson(report);
  } else {
    Print(report);
  }
  return report.ok() ? 0 : 1;
}

void AddTestOptions(CLI::App& test, TestOptions& options) {
  test.add_option("folder", options.folder, "The model's folder, as a node would be given it")
      ->required();
  test.add_option("--input", options.input, "File with a request; else one is made up");
  test.add_option("--content-type", options.content_type,
                  "Media type of the input; by the file's extension when not given");
  test.add_option("--accept", options.accept, "Media type wanted for the answer");
  test.add_option("--executor", options.executor,
                  "One of the node's executor scripts; else the one that a node would choose");
  test.add_option("--seed", options.seed, "Seed of the request")->capture_default_str();
  test.add_option("--timeout", options.timeout_seconds, "Seconds that all of it may take")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  test.add_option("--memory-mb", options.memory_mb, "Memory that it may use, in MiB")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  test.add_option("--threads", options.threads, "Threads that it computes with")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  test.add_option("--mode", options.mode, "strict: every layer or nothing runs")
      ->check(CLI::IsMember({"strict", "permissive", "disabled"}))
      ->capture_default_str();
  test.add_option("--runtime-image", options.image, "Root file system to run in")
      ->capture_default_str();
  test.add_option("--python-executor-path", options.executors_path, "Path to Python executors")
      ->capture_default_str();
  test.add_flag("--json", options.json, "Print one JSON object instead");
}

}  // namespace

void AddExecutorCommand(CLI::App& app, Chosen& chosen) {
  CLI::App* command = app.add_subcommand("executor", "Help with models and executors of your own");
  command->require_subcommand(1);
  CLI::App* test = command->add_subcommand(
      "test",
      "Load a model with its executor in the sandbox, run it, and tell what is wrong with it.\n"
      "The exit status is 0 when nothing is, 1 when something is, 125 when there was no sandbox\n"
      "or no environment to try it in.");
  auto options = std::make_shared<TestOptions>();
  AddTestOptions(*test, *options);
  test->callback([&chosen, options] { chosen.run = [options] { return Test(*options); }; });
}

}  // namespace ncn::apps
