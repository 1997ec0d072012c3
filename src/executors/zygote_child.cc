#include "executors/zygote_child.h"

#include <signal.h>

#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/execution_policy.h"
#include "rewind/watched_calls.h"

namespace ncn::executors {

using inference::Failure;
using inference::FailureKind;
using json = nlohmann::json;

namespace {

// Requests and loads have limits of their own; a cache evicts what nobody asks for long before.
constexpr std::chrono::hours kLifetimeMax(24 * 365);
// From the end of a child's conversation to its own. One that somebody killed takes so long on a
// machine that has too much to do; to take it for one that lingers would cost its request.
constexpr std::chrono::seconds kDyingTime(5);
// A load has a limit of its own, whatever the request that waits for it may take.
constexpr char kLoadCure[] =
    "The model takes longer to load than MODEL_LOAD_TIMEOUT_SECS: increase that, or use a smaller "
    "model.";
// Executors say how far they are four times a second at most, for a day at most.
constexpr std::chrono::milliseconds kProgressInterval(200);
constexpr int kProgressMax = 4 * 86400;
// No two requests write the very same pages; a second one is worth so much.
constexpr std::chrono::milliseconds kLearningTime(500);
// A child that does not do even that is of no use.
constexpr std::chrono::milliseconds kSeedingTime(500);
constexpr char kMadeUpRequest[] = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
constexpr char kOtherMadeUpRequest[] = "00000000-0000-4000-8000-000000000000";

std::string_view Name(WarmUp warm_up) {
  switch (warm_up) {
    case WarmUp::kFull:
      return "full";
    case WarmUp::kSmall:
      return "small";
    case WarmUp::kNone:
      break;
  }
  return "none";
}

// Compiled once.
const absl::StatusOr<std::string>& WatchFilter() {
  static const auto* const filter = new absl::StatusOr<std::string>(rewind::CompileWatchFilter());
  return *filter;
}

Failure NotReadable(const absl::Status& status) {
  return {FailureKind::kExecutorProtocol,
          base::StrCat("the executor's answer cannot be read: ", base::ToStd(status.message())),
          "Do not trust the model or its executor: they have tampered with the conversation."};
}

}  // namespace

ZygoteChild::ZygoteChild(std::shared_ptr<sandbox::Zygote> zygote,
                         std::unique_ptr<sandbox::SandboxedProcess> process,
                         models::MountedModel model, base::UniqueFd socket, const LoadOrder& order)
    : zygote_(std::move(zygote)),
      process_(std::move(process)),
      model_(std::move(model)),
      conversation_(std::move(socket)),
      draws_numbers_(order.draws_numbers),
      output_bytes_max_(order.output_bytes_max),
      outcome_(absl::UnknownError("still running")),
      waiter_([this] {
        outcome_ = process_->Wait({});
        ended_ = true;
      }) {}

ZygoteChild::~ZygoteChild() { process_->Kill(); }

void ZygoteChild::Kill() { process_->Kill(); }

bool ZygoteChild::usable() const { return !dead_ && !ended_ && !conversation_.Disturbed(); }

bool ZygoteChild::crashed() const {
  if (!ended_ || !outcome_.ok() || outcome_->kind == sandbox::OutcomeKind::kKilled) return false;
  return outcome_->kind != sandbox::OutcomeKind::kSignalled || outcome_->signal != SIGKILL;
}

absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, Failure>> ZygoteChild::Start(
    std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy,
    const LoadOrder& order, const models::Model& model, base::SteadyTime deadline,
    std::stop_token stop) {
  if (auto snapshot = order.shared ? order.shared->For(*zygote) : nullptr) {
    ASSIGN_OR_RETURN(auto child, Begin(zygote, policy, order, model, /*traced=*/true,
                                       /*watched=*/order.rewindable));
    const absl::Status become = child->Become(order, std::move(snapshot));
    if (become.ok()) return child;
    if (absl::IsAborted(become) || absl::IsUnavailable(become)) return become;
    base::Log("executors")
        .info("each sandbox of {} loads it: {}", order.model, base::ToStd(become.message()));
    order.shared->Refuse();
  }
  // What a first call leaves behind is what the others begin with.
  const bool to_share =
      order.shared && !order.shared->refused() && order.preparation.warm_up == WarmUp::kFull;
  const bool traced = order.rewindable || to_share;
  ASSIGN_OR_RETURN(auto child, Begin(zygote, policy, order, model, traced, traced));
  ASSIGN_OR_RETURN(auto failure, child->Load(order, deadline, stop));
  if (failure) return *std::move(failure);
  if (traced) {
    const absl::Status taken = child->TakeSnapshot(order, deadline, stop);
    if (!taken.ok() && to_share && !absl::IsUnavailable(taken)) order.shared->Refuse();
    if (!taken.ok() && order.rewindable) return taken;
    if (!taken.ok()) {
      // Half a snapshot is in it.
      LoadOrder alone = order;
      alone.shared = nullptr;
      return Start(std::move(zygote), policy, alone, model, deadline, std::move(stop));
    }
  }
  return child;
}

absl::StatusOr<std::unique_ptr<ZygoteChild>> ZygoteChild::Begin(
    std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy,
    const LoadOrder& order, const models::Model& model, bool traced, bool watched) {
  ASSIGN_OR_RETURN(Conversation::Ends ends, Conversation::MakeEnds());
  sandbox::SandboxCommand command;
  command.argv = {order.script};
  command.stdin_fd = ends.theirs.get();
  command.lifetime = kLifetimeMax;
  if (watched) {
    ASSIGN_OR_RETURN(command.watch_filter, WatchFilter());
  }
  ASSIGN_OR_RETURN(auto process, zygote->children().Start(policy, std::move(command)));
  ends.theirs.reset();
  RETURN_IF_ERROR(process->Verify());
  ASSIGN_OR_RETURN(models::MountedModel mounted, MountedIn(*process, model));
  std::unique_ptr<rewind::Rewinder> rewinder;
  if (traced) {
    ASSIGN_OR_RETURN(rewinder, rewind::Rewinder::Attach(process->pid()));
  }
  RETURN_IF_ERROR(process->Release());
  std::unique_ptr<ZygoteChild> child(new ZygoteChild(
      std::move(zygote), std::move(process), std::move(mounted), std::move(ends.ours), order));
  child->rewinder_ = std::move(rewinder);
  return child;
}

absl::Status ZygoteChild::Become(const LoadOrder& order,
                                 std::shared_ptr<rewind::Snapshot> snapshot) {
  const auto become = rewinder_->Become(std::move(snapshot), conversation_.socket());
  // That this process is not where it should be, or is gone, says nothing of the model.
  if (absl::IsAborted(become.status())) return absl::UnavailableError(become.status().message());
  RETURN_IF_ERROR(become.status());
  RETURN_IF_ERROR(model_.CheckVerified());
  rewindable_ = order.rewindable;
  if (!rewindable_) {
    RETURN_IF_ERROR(rewinder_->Detach());
    rewinder_.reset();
  }
  RETURN_IF_ERROR(Seed());
  BecomeReady();
  LogReport("made from another", *become);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Failure>> ZygoteChild::Load(const LoadOrder& order,
                                                         base::SteadyTime deadline,
                                                         const std::stop_token& stop) {
  const json header = {{"do", "load"},
                       {"script", order.script},
                       {"model", order.model},
                       {"threads", order.threads},
                       {"requests_max", order.requests_max},
                       {"check_weights", order.preparation.check_weights},
                       {"rewound", rewinder_ != nullptr},
                       {"warm_up", Name(order.preparation.warm_up)}};
  // What nobody waits for yet leaves the processors to those that answer.
  const bool background = order.preparation.background;
  if (background) process_->SetBackground(true);
  auto exchanged =
      Exchange(header.dump(), "", std::chrono::steady_clock::now(), deadline, stop, {});
  // Everything that it has read was verified then, and nothing of a request is in it yet. A model
  // that was taken away meanwhile is not to blame for what became of its load.
  if (absl::Status verified = model_.CheckVerified(); !verified.ok()) return verified;
  if (auto* failure = std::get_if<Failure>(&exchanged)) {
    if (failure->kind == FailureKind::kTimeout) failure->cure = kLoadCure;
    return std::move(*failure);
  }
  const ExecutorReport& report = std::get<Answered>(exchanged).report;
  if (report.failure) return *report.failure;
  if (background) process_->SetBackground(false);
  for (const inference::StepTime& step : report.steps) {
    base::Log("executors")
        .debug("child {} of {}: {} took {} ms", pid(), order.model, step.step,
               static_cast<double>(step.duration.count()) / 1000);
  }
  if (!report.ready) return NotReadable(absl::InvalidArgumentError("it does not say \"ready\""));
  BecomeReady();
  return std::nullopt;
}

absl::Status ZygoteChild::TakeSnapshot(const LoadOrder& order, base::SteadyTime deadline,
                                       const std::stop_token& stop) {
  RETURN_IF_ERROR(rewinder_->TakeSnapshot(conversation_.socket()));
  RETURN_IF_ERROR(Learn(deadline, stop));
  rewindable_ = order.rewindable;
  RETURN_IF_ERROR(Seed());
  BecomeReady();
  if (order.shared == nullptr || order.shared->refused()) return absl::OkStatus();
  auto snapshot = rewinder_->Share();
  if (snapshot.ok()) {
    order.shared->Keep(zygote_, *std::move(snapshot));
  } else {
    base::Log("executors")
        .info("each sandbox of {} loads it: {}", order.model,
              base::ToStd(snapshot.status().message()));
    order.shared->Refuse();
  }
  return absl::OkStatus();
}

absl::Status ZygoteChild::Seed() {
  if (!draws_numbers_) return absl::OkStatus();
  std::random_device random;
  const std::uint64_t seed = (std::uint64_t{random()} << 32) | random();
  const auto now = std::chrono::steady_clock::now();
  const auto seeded =
      Exchange(json{{"do", "seed"}, {"seed", seed}}.dump(), "", now, now + kSeedingTime, {}, {});
  const auto* failure = std::get_if<Failure>(&seeded);
  return failure == nullptr ? absl::OkStatus() : absl::UnavailableError(failure->message);
}

void ZygoteChild::BecomeReady() {
  ready_since_ = std::chrono::steady_clock::now();
  cpu_time_ = process_->UsageSoFar().cpu;
}

absl::Status ZygoteChild::Learn(base::SteadyTime deadline, const std::stop_token& stop) {
  const auto exchange = [&](const std::string& header,
                            std::string_view body) -> absl::StatusOr<Answered> {
    auto exchanged = Exchange(header, body, std::chrono::steady_clock::now(), deadline, stop, {});
    const auto* failure = std::get_if<Failure>(&exchanged);
    if (failure != nullptr) return absl::FailedPreconditionError(failure->message);
    return std::get<Answered>(std::move(exchanged));
  };
  ASSIGN_OR_RETURN(const Answered example, exchange(R"({"do":"warm_up"})", ""));
  if (example.body.empty()) return rewinder_->Learn().status();
  // What it took to make the request up is not what requests write.
  RETURN_IF_ERROR(rewinder_->Rewind().status());
  const inference::Payload input{example.body, example.report.content_type};
  const auto began = std::chrono::steady_clock::now();
  for (const char* id : {kMadeUpRequest, kOtherMadeUpRequest}) {
    RETURN_IF_ERROR(Seed());
    RETURN_IF_ERROR(exchange(RunOrder(input, input.content_type, id, {}), input.bytes).status());
    RETURN_IF_ERROR(rewinder_->Learn().status());
    if (std::chrono::steady_clock::now() - began > kLearningTime) break;
  }
  return absl::OkStatus();
}

std::string ZygoteChild::RunOrder(const inference::Payload& input, std::string_view accept,
                                  std::string_view request_id,
                                  std::optional<std::uint64_t> seed) const {
  json order = {{"do", "run"},      {"content_type", input.content_type},
                {"accept", accept}, {"request_id", request_id},
                {"seed", nullptr},  {"output_bytes_max", output_bytes_max_}};
  if (seed) order["seed"] = *seed;
  return order.dump();
}

absl::Status ZygoteChild::Rewind() {
  if (!rewindable_) return ReadyChild::Rewind();
  const auto report = rewinder_->Rewind();
  if (!report.ok()) {
    dead_ = true;
    return report.status();
  }
  LogReport("rewound", *report);
  return Seed();
}

void ZygoteChild::LogReport(std::string_view what, const rewind::RewindReport& report) const {
  const auto microseconds = [](std::chrono::nanoseconds time) { return time.count() / 1000; };
  base::Log("executors")
      .debug(
          "child {} {}: {} pages written, {} dropped, {} mappings repaired, {} calls watched; us: "
          "stop {}, layout {}, scan {}, write {}, rest {}",
          pid(), what, report.pages_written, report.pages_dropped, report.mappings_repaired,
          report.calls, microseconds(report.stop), microseconds(report.layout),
          microseconds(report.scan), microseconds(report.write), microseconds(report.rest));
}

std::variant<ExecutorAnswer, Failure> ZygoteChild::Answer(
    const inference::InferenceRequest& request, base::SteadyTime since, base::SteadyTime deadline,
    std::stop_token stop, const inference::OnProgress& on_progress) {
  const std::string header =
      RunOrder(request.input, request.accept, request.id.value(), request.seed);
  auto exchanged = Exchange(header, request.input.bytes, since, deadline, stop, on_progress);
  ++answered_;
  usage_ = process_->UsageSoFar();
  const auto cpu_before = std::exchange(cpu_time_, usage_.cpu);
  usage_.cpu -= cpu_before;
  if (auto* failure = std::get_if<Failure>(&exchanged)) {
    return Explain(std::move(*failure), model_);
  }
  if (const absl::Status unwritten = model_.CheckUnwritten(); !unwritten.ok()) {
    dead_ = true;
    return ModelChanged(unwritten);
  }
  auto& [report, output] = std::get<Answered>(exchanged);
  if (report.failure) return Explain(*report.failure, model_);
  return ReadAnswer(std::move(report), std::move(output), request);
}

std::variant<ZygoteChild::Answered, Failure> ZygoteChild::Exchange(
    std::string_view header, std::string_view body, base::SteadyTime since,
    base::SteadyTime deadline, std::stop_token stop, const inference::OnProgress& on_progress) {
  // A killed child is gone, and its end of the socket with it, only when the kernel has taken its
  // memory apart; nobody waits for that.
  const std::stop_callback on_stop(stop, [this] {
    process_->Kill();
    conversation_.Shutdown();
  });
  const absl::Status sent = conversation_.Send(header, body, deadline);
  // Even a child that read nothing may have said why.
  auto answered = absl::IsDeadlineExceeded(sent) ? sent : Listen(deadline, on_progress);
  if (answered.ok()) return *std::move(answered);
  dead_ = true;
  if (stop.stop_requested()) {
    return Failure{FailureKind::kCancelled, "the request was cancelled while it was executed", ""};
  }
  if (absl::IsDeadlineExceeded(answered.status())) {
    process_->Kill();
    sandbox::SandboxOutcome late;
    late.kind = sandbox::OutcomeKind::kTimedOut;
    late.limit_wall = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - since);
    return ReadEnd(late);
  }
  return WhyEnded(answered.status());
}

absl::StatusOr<ZygoteChild::Answered> ZygoteChild::Listen(
    base::SteadyTime deadline, const inference::OnProgress& on_progress) {
  base::SteadyTime told_at;  // Long ago.
  for (int words = 0;; ++words) {
    ASSIGN_OR_RETURN(Frame frame, conversation_.Receive(output_bytes_max_, deadline));
    ASSIGN_OR_RETURN(ExecutorReport report, ParseExecutorReport(frame.header));
    if (!report.progress) return Answered{std::move(report), std::move(frame.body)};
    if (frame.body.size() > inference::kPartialBytesMax || words == kProgressMax) {
      return absl::InvalidArgumentError("more is said of its progress than is allowed");
    }
    // A child that never pauses is never waited for.
    const base::SteadyTime now = std::chrono::steady_clock::now();
    if (now >= deadline) return absl::DeadlineExceededError("the child took too long");
    if (!on_progress || now - told_at < kProgressInterval) continue;
    told_at = now;
    report.progress->partial.bytes = std::move(frame.body);
    on_progress(*report.progress);
  }
}

Failure ZygoteChild::WhyEnded(const absl::Status& why) {
  // How it ends by itself tells more than that it was killed.
  const base::SteadyTime patience = std::chrono::steady_clock::now() + kDyingTime;
  while (absl::IsUnavailable(why) && !ended_ && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  process_->Kill();
  waiter_.join();
  if (absl::IsResourceExhausted(why)) {
    return {FailureKind::kOutputTooLarge, "the output is larger than the limit",
            "Ask for fewer outputs, or raise --max-message-mb on the node."};
  }
  if (absl::IsInvalidArgument(why)) return NotReadable(why);
  const bool killed_by_others = outcome_.ok() &&
                                outcome_->kind == sandbox::OutcomeKind::kSignalled &&
                                outcome_->signal == SIGKILL;
  if (!outcome_.ok() || killed_by_others) {
    return {FailureKind::kSandboxUnavailable,
            base::StrCat(
                "Sandbox execution failed: ",
                outcome_.ok() ? outcome_->Describe() : base::ToStd(outcome_.status().message())),
            "Send the request again."};
  }
  if (outcome_->kind == sandbox::OutcomeKind::kKilled) {
    return {FailureKind::kExecutorProtocol, "the executor ended the conversation without an answer",
            "Correct the executor script; python_executors/README.md describes the contracts."};
  }
  return ReadEnd(*outcome_);
}

}  // namespace ncn::executors
