#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "apps/ncn/command.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "config/locations.h"
#include "executors/execution_policy.h"
#include "executors/runtime_environment.h"
#include "rewind/self_check.h"
#include "sandbox/probe.h"
#include "sandbox/sandbox.h"

namespace ncn::apps {
namespace {

using sandbox::OutcomeKind;
using sandbox::SandboxOutcome;

struct DoctorOptions {
  std::string python_executor_path = "python_executors";
  std::string runtime_image = config::DefaultRuntimeImage().native();
  bool json = false;
};

// One line of the table.
struct Finding {
  std::string what;
  bool holds = false;
  bool required = true;  // Whether a node in strict mode cannot do without.
  std::string detail;
  std::string cure;
};

// Tries to break one limit. `line` is run by the shell of the host.
struct LimitTrial {
  const char* what;
  const char* line;
  OutcomeKind wanted;  // kExited: by its own failure.
};
// What breaks its limit is over in a fraction of a second; nothing runs longer than this.
constexpr std::chrono::milliseconds kTrialMax{5000};
constexpr std::chrono::milliseconds kSleepMax{100};

constexpr LimitTrial kTrials[] = {
    {"time limit", "sleep 60", OutcomeKind::kTimedOut},
    {"memory limit", "tail /dev/zero", OutcomeKind::kMemoryLimit},
    {"process limit", "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done", OutcomeKind::kExited},
    {"output limit", "yes", OutcomeKind::kOutputLimit},
    {"disk limit", "head -c 9000000 /dev/zero > /work/f", OutcomeKind::kExited},
};

inference::ExecutionLimits TightLimits() {
  inference::ExecutionLimits limits;
  limits.wall_clock = kTrialMax;
  limits.memory_bytes = 32 << 20;
  limits.workspace_bytes = 4 << 20;
  limits.processes = 4;
  return limits;
}

Finding Try(sandbox::Sandbox& sandbox, const LimitTrial& trial) {
  Finding finding{.what = trial.what};
  const auto policy = sandbox::PolicyBuilder().UseHostSystem().SetLimits(TightLimits()).Build();
  if (!policy.ok()) {
    finding.detail = std::string(policy.status().message());
    return finding;
  }
  const auto outcome = sandbox.Run(
      *policy, {.argv = {"/usr/bin/sh", "-c", trial.line},
                .environment = {"PATH=/usr/bin"},
                .wall_clock_max = trial.wanted == OutcomeKind::kTimedOut ? kSleepMax : kTrialMax,
                .stream_bytes_max = 1 << 20});
  if (!outcome.ok()) {
    finding.detail = std::string(outcome.status().message());
    return finding;
  }
  finding.holds = outcome->kind == trial.wanted && !outcome->Succeeded();
  finding.detail = outcome->Describe();
  if (!finding.holds) {
    finding.cure = base::StrCat("Nothing stopped \"", trial.line,
                                "\" in time: run the node as root, or under systemd with "
                                "Delegate=yes, so that it may use control groups.");
  }
  return finding;
}

std::vector<Finding> TryLayers() {
  std::vector<Finding> findings;
  for (const sandbox::LayerProbe& probe : sandbox::ProbeLayers("")) {
    findings.push_back({probe.layer, probe.available, probe.required, probe.detail, probe.cure});
  }
  return findings;
}

// Whether the strict sandbox runs a command at all.
Finding TryStrict(const absl::StatusOr<std::unique_ptr<sandbox::Sandbox>>& sandbox) {
  Finding finding{.what = "strict mode"};
  const auto outcome = [&]() -> absl::StatusOr<SandboxOutcome> {
    RETURN_IF_ERROR(sandbox.status());
    ASSIGN_OR_RETURN(const auto policy, sandbox::PolicyBuilder().UseHostSystem().Build());
    return (*sandbox)->Run(policy, {.argv = {"/usr/bin/true"}});
  }();
  finding.holds = outcome.ok() && outcome->Succeeded();
  if (finding.holds) {
    finding.detail = absl::StrFormat("%d layers, verified from outside", outcome->layers.size());
    return finding;
  }
  finding.detail = outcome.ok() ? outcome->Describe() : std::string(outcome.status().message());
  finding.cure = "Do what the lines above say; until then a node runs nothing.";
  return finding;
}

// Whether a process can be returned to a moment before, as --isolation rewind does.
Finding TryRewind() {
  Finding finding{.what = "rewind", .required = false};
  const auto report = rewind::CheckKernel();
  finding.holds = report.ok();
  if (report.ok()) {
    finding.detail = "a process that was rewound has forgotten what it was asked";
    return finding;
  }
  finding.detail = std::string(report.status().message());
  finding.cure =
      "Use Linux 6.9 or later on x86-64, with ptrace of one's own processes allowed; until then "
      "--isolation rewind is the same as --isolation request.";
  return finding;
}

// The runtime image, or the virtual environment in its place, and whether its Python starts.
Finding TryImage(sandbox::Sandbox& sandbox, const DoctorOptions& options) {
  Finding finding{.what = "runtime image"};
  const auto environment = executors::RuntimeEnvironment::Locate(
      config::FindBesideProgram(options.python_executor_path), options.runtime_image);
  if (!environment.ok()) {
    finding.detail = "none at " + options.runtime_image;
    finding.cure = "Run runtime_image/build, or name one with --runtime-image.";
    return finding;
  }
  const std::string place =
      environment->venv.empty() ? environment->root.native() : environment->venv.native();
  const auto outcome = [&]() -> absl::StatusOr<SandboxOutcome> {
    ASSIGN_OR_RETURN(const auto policy, executors::BasePolicy(*environment).Build());
    return sandbox.Run(policy, {.argv = {environment->python, "-I", "-S", "-c", "pass"},
                                .environment = {"PATH=/usr/bin:/bin"}});
  }();
  finding.holds = outcome.ok() && outcome->Succeeded();
  finding.detail = place;
  if (!finding.holds) {
    const std::string why =
        outcome.ok() ? outcome->Describe() : std::string(outcome.status().message());
    finding.detail = base::StrCat(place, ": its Python does not start: ", why);
    finding.cure = "Build it anew: delete that folder and run runtime_image/build.";
  }
  return finding;
}

std::vector<Finding> Examine(const DoctorOptions& options) {
  std::vector<Finding> findings = TryLayers();
  findings.push_back(TryRewind());
  auto strict = sandbox::CreateSandbox({sandbox::SandboxMode::kStrict});
  findings.push_back(TryStrict(strict));
  // Limits and image can be tried in what there is of a sandbox, too.
  if (strict.ok() && !findings.back().holds) {
    strict = sandbox::CreateSandbox({sandbox::SandboxMode::kPermissive});
  }
  if (!strict.ok()) return findings;
  for (const LimitTrial& trial : kTrials) findings.push_back(Try(**strict, trial));
  findings.push_back(TryImage(**strict, options));
  return findings;
}

const char* Verdict(const Finding& finding) {
  if (finding.holds) return "holds";
  return finding.required ? "MISSING" : "without";
}

void PrintTable(const std::vector<Finding>& findings) {
  std::size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.what.size());
  const int columns = static_cast<int>(width);
  for (const Finding& finding : findings) {
    std::printf("%-*s  %-7s  %s\n", columns, finding.what.c_str(), Verdict(finding),
                finding.detail.c_str());
    if (!finding.holds && !finding.cure.empty()) {
      std::printf("%-*s  to do:   %s\n", columns, "", finding.cure.c_str());
    }
  }
}

void PrintJson(const std::vector<Finding>& findings, bool sound) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Finding& finding : findings) {
    rows.push_back({{"what", finding.what},
                    {"holds", finding.holds},
                    {"required", finding.required},
                    {"detail", finding.detail},
                    {"to_do", finding.holds ? "" : finding.cure}});
  }
  const nlohmann::json report = {{"strict_would_run", sound}, {"findings", rows}};
  using Json = nlohmann::json;
  std::printf("%s\n", report.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

int Doctor(const DoctorOptions& options) {
  // The table says it all.
  if (const absl::Status quiet = base::ConfigureLogging("off"); !quiet.ok()) return Fail(quiet);
  const std::vector<Finding> findings = Examine(options);
  const bool sound = std::all_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.holds || !finding.required;
  });
  if (options.json) {
    PrintJson(findings, sound);
  } else {
    PrintTable(findings);
    std::printf("%s\n", sound ? "\nA node runs here in strict mode."
                              : "\nA node in strict mode runs nothing here yet.");
  }
  return sound ? 0 : 1;
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Chosen& chosen) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command = app.add_subcommand(
      "doctor",
      "Try each layer of the sandbox, its limits and the runtime image on this machine,\n"
      "and say what holds, what does not, and what to do. Status 0 when strict mode would run.");
  command
      ->add_option("--python-executor-path", options->python_executor_path,
                   "Path to Python executors, as the node is given it")
      ->envname("PYTHON_EXECUTOR_PATH")
      ->capture_default_str();
  command
      ->add_option("--runtime-image", options->runtime_image,
                   "Root file system that executors run in")
      ->envname("RUNTIME_IMAGE")
      ->capture_default_str();
  command->add_flag("--json", options->json, "As a JSON object");
  command->callback([&chosen, options] { chosen.run = [options] { return Doctor(*options); }; });
}

}  // namespace ncn::apps
