#include "executors/cold_script_runner.h"

#include <algorithm>

#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/execution_policy.h"
#include "executors/outcome_reading.h"

namespace ncn::executors {

using inference::Failure;
using inference::FailureKind;
using std::chrono::milliseconds;

namespace {

// Preparation of the sandbox, then what the executor measured within its process, then that
// process.
std::vector<inference::StepTime> Steps(const sandbox::SandboxOutcome& outcome,
                                       const std::vector<inference::StepTime>& executor_steps) {
  std::chrono::microseconds setup{0};
  for (const sandbox::SetupStepTime& step : outcome.steps) setup += step.taken;
  std::vector<inference::StepTime> steps = {{"sandbox", setup}};
  for (const inference::StepTime& step : executor_steps) {
    if (step.step != "total")
      steps.push_back({base::StrCat("executor ", step.step), step.duration});
  }
  steps.push_back({"executor process", outcome.usage.wall});
  return steps;
}

}  // namespace

ColdScriptRunner::ColdScriptRunner(sandbox::Sandbox& sandbox, RuntimeEnvironment environment,
                                   std::filesystem::path executors_path, ColdRunnerOptions options,
                                   const base::Clock& clock)
    : sandbox_(sandbox),
      environment_(std::move(environment)),
      executors_path_(std::move(executors_path)),
      options_(options),
      clock_(clock) {}

Outcome ColdScriptRunner::Run(const ScriptTask& task) {
  const auto remaining =
      std::chrono::duration_cast<milliseconds>(task.deadline - clock_.SteadyNow());
  if (remaining <= milliseconds::zero()) {
    return Failure{FailureKind::kTimeout, "the time-out passed before the executor was started",
                   "Allow more time, or try again when the node is less busy."};
  }
  const auto policy =
      PolicyFor(environment_, executors_path_, task.executor, task.model, options_.limits);
  if (!policy.ok()) {
    if (const absl::Status gone = CheckStillThere(task.model); !gone.ok())
      return ModelChanged(gone);
    return Failure{FailureKind::kSandboxUnavailable, std::string(policy.status().message()),
                   "Correct the paths that the node was started with."};
  }
  const auto started_at = clock_.WallNow();
  std::optional<models::MountedModel> mounted;
  auto outcome = RunVerified(*policy, CommandFor(task, remaining), task, mounted);
  if (absl::IsAborted(outcome.status())) return ModelChanged(outcome.status());
  if (!outcome.ok()) {
    if (const absl::Status gone = CheckStillThere(task.model); !gone.ok())
      return ModelChanged(gone);
    return Failure{
        FailureKind::kSandboxUnavailable,
        base::StrCat("Sandbox execution failed: ", base::ToStd(outcome.status().message())),
        "The node runs nothing until the sandbox can be set up as its mode demands."};
  }
  auto answer = ReadAnswer(*outcome, task.request);
  if (auto* failure = std::get_if<Failure>(&answer)) return Explain(std::move(*failure), *mounted);

  auto& [output, steps] = std::get<ExecutorAnswer>(answer);
  return inference::InferenceResult{
      .output = std::move(output),
      .record = {
          .model_hash = task.model.tree_sha256,
          .executor = task.executor.name,
          .executor_hash = task.executor.sha256,
          .image_digest = environment_.digest,
          .sandbox_mode = std::string(sandbox::Name(sandbox_.mode())),
          .isolation = "cold",
          .policy_hash = policy->Hash(),
          .layers = outcome->layers,
          .usage = {outcome->usage.wall, outcome->usage.cpu, outcome->usage.peak_memory_bytes},
          .started_at = started_at,
          .finished_at = clock_.WallNow(),
          .steps = Steps(*outcome, steps),
          .notes = outcome->missing}};
}

absl::StatusOr<sandbox::SandboxOutcome> ColdScriptRunner::RunVerified(
    const sandbox::SandboxPolicy& policy, sandbox::SandboxCommand command, const ScriptTask& task,
    std::optional<models::MountedModel>& mounted) {
  ASSIGN_OR_RETURN(const auto process, sandbox_.Start(policy, std::move(command)));
  RETURN_IF_ERROR(process->Verify());
  ASSIGN_OR_RETURN(mounted, MountedIn(*process, task.model));
  RETURN_IF_ERROR(mounted->CheckVerified());
  RETURN_IF_ERROR(process->Release());
  auto outcome = process->Wait(task.stop);
  if (outcome.ok()) RETURN_IF_ERROR(mounted->CheckUnwritten());
  return outcome;
}

sandbox::SandboxCommand ColdScriptRunner::CommandFor(const ScriptTask& task,
                                                     milliseconds remaining) const {
  const inference::InferenceRequest& request = task.request;
  const std::uint64_t output_bytes_max = options_.limits.output_bytes;
  const auto work = [](const char* name) { return base::StrCat(sandbox::kWorkFolder, "/", name); };
  sandbox::SandboxCommand command{
      .argv = task.executor.native()
                  ? std::vector<std::string>{task.executor.inside_path, "--library",
                                             environment_.onnxruntime}
                  : std::vector<std::string>{environment_.python, "-s", task.executor.inside_path},
      .environment =
          {"PATH=/usr/bin:/bin", "HOME=/work", "TMPDIR=/tmp", "LANG=C.UTF-8",
           "PYTHONDONTWRITEBYTECODE=1",
           // Torch brings UCX, which would start a thread and write to stdout when imported.
           "UCX_VFS_ENABLE=n", "UCX_LOG_LEVEL=fatal", base::StrCat("PYTHONPATH=", kExecutorsInside),
           base::StrCat("NCN_CONTENT_TYPE=", request.input.content_type),
           base::StrCat("NCN_ACCEPT=", request.accept),
           base::StrCat("NCN_REQUEST_ID=", request.id.value()),
           base::StrCat("NCN_THREADS=", options_.threads),
           base::StrCat("NCN_OUTPUT_BYTES_MAX=", output_bytes_max)},
      .files = {{kInputFile, request.input.bytes}},
      .collect = {{kOutputFile, output_bytes_max}, {kReportFile, kReportBytesMax}},
      .wall_clock_max = remaining};
  for (const std::string& argument :
       {std::string("--model"), InsidePath(task.model), std::string("--input"), work(kInputFile),
        std::string("--output"), work(kOutputFile)}) {
    command.argv.push_back(argument);
  }
  if (request.seed) command.environment.push_back(base::StrCat("NCN_SEED=", *request.seed));
  return command;
}

}  // namespace ncn::executors
