#include "executors/ready_script_runner.h"

#include <algorithm>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/execution_policy.h"
#include "executors/zygote_child.h"

namespace ncn::executors {

using inference::Failure;
using inference::FailureKind;
using std::chrono::duration_cast;
using std::chrono::microseconds;

namespace {

constexpr int kZygoteTries = 10;
constexpr std::chrono::milliseconds kZygotePause(50);
// The kernel counts the processor time of a child's whole life against its limit.
constexpr int kCpuShareOfReuse = 10;
constexpr int kAttemptsMax = 6;  // Of one request or load, when sandboxes are lost under it.

}  // namespace

std::string_view Name(Isolation isolation) {
  switch (isolation) {
    case Isolation::kRequest:
      return "request";
    case Isolation::kRewind:
      return "rewind";
    case Isolation::kTenant:
      return "tenant";
    case Isolation::kCold:
      return "cold";
  }
  return "";
}

std::optional<Isolation> IsolationFromName(std::string_view name) {
  for (const Isolation level :
       {Isolation::kRequest, Isolation::kRewind, Isolation::kTenant, Isolation::kCold}) {
    if (Name(level) == name) return level;
  }
  return std::nullopt;
}

ReadyScriptRunner::ReadyScriptRunner(Zygotes& zygotes, ScriptRunner& cold,
                                     sandbox::SandboxMode mode, RuntimeEnvironment environment,
                                     std::filesystem::path executors_path, Options options,
                                     const base::Clock& clock)
    : zygotes_(zygotes),
      cold_(cold),
      mode_(mode),
      environment_(std::move(environment)),
      executors_path_(std::move(executors_path)),
      options_(std::move(options)),
      clock_(clock),
      cache_(options_.cache, clock) {}

Isolation ReadyScriptRunner::LevelOf(const models::Model& model) const {
  const auto own = options_.isolation_of.find(model.id.value());
  return own != options_.isolation_of.end() ? own->second : options_.isolation;
}

absl::StatusOr<std::shared_ptr<const Recipe>> ReadyScriptRunner::RecipeFor(
    const models::Model& model, const Executor& executor) {
  const std::pair key(model.id.value(), executor.name);
  // The very files, not only their content: children are held to what they have mounted.
  const auto fits = [&](const KnownRecipe& known) {
    return known.recipe != nullptr && known.executor_sha256 == executor.sha256 &&
           known.root == model.root && (known.files == model.files || *known.files == *model.files);
  };
  const KnownRecipe known = recipes_.With([&](auto& recipes) { return recipes[key]; });
  if (fits(known)) return known.recipe;
  ASSIGN_OR_RETURN(Recipe recipe,
                   MakeRecipe(model, executor, base::StrCat(model.tree_sha256, " ", ++versions_)));
  auto made = std::make_shared<const Recipe>(std::move(recipe));
  return recipes_.With([&](auto& recipes) {
    // Of requests that come together one is first; the others are about the same version.
    KnownRecipe& latest = recipes[key];
    if (!fits(latest)) latest = {made, executor.sha256, model.root, model.files};
    return latest.recipe;
  });
}

absl::StatusOr<Recipe> ReadyScriptRunner::MakeRecipe(const models::Model& model,
                                                     const Executor& executor,
                                                     std::string version) {
  ASSIGN_OR_RETURN(sandbox::SandboxPolicy policy,
                   PolicyFor(environment_, executors_path_, executor, model, options_.limits));
  const Isolation level = LevelOf(model);
  const auto shared = options_.snapshots ? std::make_shared<ChildTemplate>() : nullptr;
  // One that is rewound forgets how many it has served, and goes on after each; so does one that
  // others are made from.
  const std::uint32_t again = shared != nullptr || level == Isolation::kRewind ? 2 : 1;
  LoadOrder order{
      .script = executor.inside_path,
      .model = InsidePath(model),
      .threads = options_.threads,
      .requests_max = level == Isolation::kTenant ? options_.cache.reuse_requests_max : again,
      .output_bytes_max = policy.limits().output_bytes,
      .draws_numbers = !executor.native(),
      .rewindable = level == Isolation::kRewind,
      .shared = shared};
  return Recipe{.model = model.id.value(),
                .executor = executor.name,
                .version = version,
                .policy_hash = policy.Hash(),
                .rewound = order.rewindable,
                .shared = shared,
                .make = [this, policy = std::move(policy), order = std::move(order), model, version,
                         framework = FrameworkFor(executor, model)](Preparation preparation,
                                                                    std::stop_token stop) mutable
                -> absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, Failure>> {
                  order.preparation = preparation;
                  for (int tries = 1, loads = 0;; ++tries) {
                    auto zygote = zygotes_.Get(framework);
                    auto made = zygote.ok() ? MakeOnce(*zygote, policy, order, model, version, stop)
                                            : zygote.status();
                    if (!absl::IsUnavailable(made.status()) || tries == kZygoteTries) return made;
                    // Another child, and a zygote that has just died, are there sooner than a cold
                    // start is done.
                    if (zygote.ok() && ++loads == kAttemptsMax) return made;
                    std::this_thread::sleep_for(kZygotePause);
                  }
                }};
}

absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, Failure>> ReadyScriptRunner::MakeOnce(
    std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy,
    const LoadOrder& order, const models::Model& model, const std::string& version,
    std::stop_token stop) {
  auto made = StartChild(std::move(zygote), policy, order, model, version, std::move(stop));
  if (!made.ok()) RETURN_IF_ERROR(CheckStillThere(model));
  const auto* failure = made.ok() ? std::get_if<Failure>(&*made) : nullptr;
  if (failure != nullptr && failure->kind == FailureKind::kSandboxUnavailable) {
    return absl::UnavailableError(failure->message);  // None of the model's doing.
  }
  return made;
}

absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, Failure>> ReadyScriptRunner::StartChild(
    std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy, LoadOrder order,
    const models::Model& model, const std::string& version, std::stop_token stop) {
  const auto start = [&] {
    return ZygoteChild::Start(zygote, policy, order, model,
                              clock_.SteadyNow() + options_.load_time_max, stop);
  };
  // What a first call leaves would be done and undone with each request.
  const bool warm = order.preparation.warm_up != WarmUp::kNone ||
                    (order.shared != nullptr && order.shared->For(*zygote) != nullptr);
  order.rewindable = order.rewindable && warm && cannot_rewind_.With([&](const auto& reasons) {
    return !reasons.contains(version);
  });
  auto made = start();
  const absl::Status status = made.status();
  if (order.rewindable && (absl::IsFailedPrecondition(status) || absl::IsUnimplemented(status) ||
                           absl::IsPermissionDenied(status) || absl::IsAborted(status))) {
    order.rewindable = false;
    made = start();
    if (!made.ok() || std::holds_alternative<Failure>(*made)) return made;
    base::Log("executors")
        .warn("model {}: a new sandbox for each request instead of one that is rewound: {}",
              model.id.value(), base::ToStd(status.message()));
    cannot_rewind_.With(
        [&](auto& reasons) { reasons.emplace(version, base::ToStd(status.message())); });
  }
  return made;
}

bool ReadyScriptRunner::Forget(const inference::ModelId& model) {
  recipes_.With([&](auto& recipes) {
    std::erase_if(recipes, [&](const auto& known) { return known.first.first == model.value(); });
  });
  return cache_.Forget(model.value());
}

void ReadyScriptRunner::Preload(const models::Model& model, const Executor& executor) {
  const auto recipe = RecipeFor(model, executor);
  if (recipe.ok()) cache_.Preload(**recipe);
}

Outcome ReadyScriptRunner::Run(const ScriptTask& task) {
  Isolation level = LevelOf(task.model);
  if (level == Isolation::kCold) return cold_.Run(task);
  // Of a client that is not known there is no "same" one.
  if (level == Isolation::kTenant && task.request.client_address.empty()) {
    level = Isolation::kRequest;
  }
  const base::SteadyTime began = clock_.SteadyNow();
  const auto recipe = RecipeFor(task.model, task.executor);
  if (!recipe.ok()) return cold_.Run(task);  // Which tells what is wrong.
  for (int attempt = 1;; ++attempt) {
    Outcome outcome = RunReady(task, level, **recipe, began);
    // A child that somebody killed, or whose zygote died, has answered nothing: the request is
    // whole.
    const auto* failure = std::get_if<Failure>(&outcome);
    const bool lost = failure != nullptr && failure->kind == FailureKind::kSandboxUnavailable;
    if (!lost || attempt == kAttemptsMax || task.stop.stop_requested()) return outcome;
    base::Log("executors")
        .warn("a ready sandbox was lost, another one answers: {}", failure->message);
  }
}

Outcome ReadyScriptRunner::RunReady(const ScriptTask& task, Isolation level, const Recipe& recipe,
                                    base::SteadyTime began) {
  const std::string tenant = level == Isolation::kTenant ? task.request.client_address : "";
  auto lent = cache_.Borrow(recipe, tenant, task.deadline, task.stop);
  if (absl::IsCancelled(lent.status())) {
    return Failure{FailureKind::kCancelled, "the request was cancelled while it waited", ""};
  }
  if (absl::IsDeadlineExceeded(lent.status())) {
    return Failure{FailureKind::kTimeout, std::string(lent.status().message()),
                   "Allow the request more time, or preload the model."};
  }
  if (absl::IsAborted(lent.status())) return ModelChanged(lent.status());
  if (!lent.ok()) {
    base::Log("executors")
        .warn("no ready sandbox, a cold one instead: {}", base::ToStd(lent.status().message()));
    Outcome outcome = cold_.Run(task);
    if (auto* result = std::get_if<inference::InferenceResult>(&outcome)) {
      result->record.notes.push_back(
          base::StrCat("no ready sandbox: ", base::ToStd(lent.status().message())));
    }
    return outcome;
  }
  if (auto* failure = std::get_if<Failure>(&*lent)) return std::move(*failure);
  return Ask(std::get<std::unique_ptr<ReadyChild>>(*std::move(lent)), task, level, recipe, began);
}

Outcome ReadyScriptRunner::Ask(std::unique_ptr<ReadyChild> child, const ScriptTask& task,
                               Isolation level, const Recipe& recipe, base::SteadyTime began) {
  std::vector<std::string> notes = child->missing();
  if (level == Isolation::kRewind && !child->rewindable()) {
    level = Isolation::kRequest;
    cannot_rewind_.With([&](const auto& reasons) {
      const auto found = reasons.find(recipe.version);
      if (found != reasons.end()) notes.push_back(base::StrCat("not rewound: ", found->second));
    });
  }
  const auto started_at = clock_.WallNow();
  const base::SteadyTime asked = clock_.SteadyNow();
  auto answer = child->Answer(task.request, began, task.deadline, task.stop, task.on_progress);
  const base::SteadyTime answered = clock_.SteadyNow();
  const bool first = child->answered() == 1;
  const auto give_back = [&] {
    const bool again = (level == Isolation::kTenant || level == Isolation::kRewind) &&
                       child->cpu_time() < options_.limits.cpu_time / kCpuShareOfReuse &&
                       child->usable();
    if (again && level == Isolation::kRewind) {
      cache_.ReturnToRewind(std::move(child), recipe);
      return;
    }
    cache_.Return(std::move(child), recipe, again ? task.request.client_address : "");
  };
  if (auto* failure = std::get_if<Failure>(&answer)) {
    give_back();
    return std::move(*failure);
  }
  auto& [output, executor_steps] = std::get<ExecutorAnswer>(answer);
  const sandbox::ResourceUsage usage = child->UsageOfAnswer();
  std::vector<inference::StepTime> steps = {
      {"ready sandbox", duration_cast<microseconds>(asked - began)}};
  for (const inference::StepTime& step : executor_steps) {
    steps.push_back({base::StrCat("executor ", step.step), step.duration});
  }
  steps.push_back({"executor round trip", duration_cast<microseconds>(answered - asked)});
  inference::InferenceResult result{
      .output = std::move(output),
      .record = {.model_hash = task.model.tree_sha256,
                 .executor = task.executor.name,
                 .executor_hash = task.executor.sha256,
                 .image_digest = environment_.digest,
                 .sandbox_mode = std::string(sandbox::Name(mode_)),
                 .isolation = std::string(Name(level)),
                 .policy_hash = recipe.policy_hash,
                 .layers = child->layers(),
                 .usage = {duration_cast<microseconds>(answered - asked), usage.cpu,
                           usage.peak_memory_bytes},
                 .started_at = started_at,
                 .finished_at = clock_.WallNow(),
                 .steps = std::move(steps),
                 .notes = std::move(notes)}};
  if (!first && level == Isolation::kTenant)
    result.record.notes.push_back("the sandbox served this client before");
  give_back();
  return result;
}

}  // namespace ncn::executors
