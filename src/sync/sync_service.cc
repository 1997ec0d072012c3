#include "sync/sync_service.h"

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/terminal.h"
#include "sync/progress_text.h"
#include "sync/registry_chunks.h"

namespace ncn::sync {
namespace {

constexpr char kLog[] = "sync";
constexpr std::size_t kBarsMax = 6;

void LogOutcome(const ModelOutcome& outcome) {
  using Kind = ModelOutcome::Kind;
  if (outcome.kind == Kind::kKept) return;
  if (outcome.kind == Kind::kFailed || outcome.kind == Kind::kSkipped) {
    base::Log(kLog).warn("model {}", ToText(outcome));
  } else {
    base::Log(kLog).info("model {}", ToText(outcome));
  }
}

}  // namespace

absl::StatusOr<inference::Subnet> AcceptSubnet(
    ModelsFolder& folder, const Registries& registries, const Following& following,
    std::stop_token stop, const std::function<void(const registry::RegistryProblem&)>& on_problem) {
  ASSIGN_OR_RETURN(const registry::AcceptedSubnet last, folder.Accepted(following.subnet_id));
  registry::SubnetAnswer answer = registry::FindSubnet(
      registries, following.subnet_id, {.owner_address = following.owner_address, .last = last},
      std::move(stop));
  if (answer.subnet.ok() && on_problem) {
    for (const registry::RegistryProblem& problem : answer.problems) on_problem(problem);
  }
  RETURN_IF_ERROR(answer.subnet.status());
  ASSIGN_OR_RETURN(const registry::AcceptedSubnet accepted, registry::Accepted(*answer.subnet));
  RETURN_IF_ERROR(folder.Accept(following.subnet_id, accepted));
  return std::move(answer.subnet);
}

std::chrono::milliseconds PauseAfter(std::size_t failures, std::chrono::milliseconds retry,
                                     std::chrono::milliseconds interval) {
  if (failures == 0) return interval;
  std::chrono::milliseconds pause = std::min(retry, interval);
  for (std::size_t n = 1; n < failures && pause < interval; ++n) {
    pause = std::min(2 * pause, interval);
  }
  return pause;
}

SyncService::SyncService(const Registries& registries, models::ModelStore& store,
                         SyncServiceOptions options)
    : registries_(registries),
      store_(store),
      options_(std::move(options)),
      chunks_(std::make_unique<RegistryChunks>(registries)),
      reporter_([this](std::stop_token stop) { Report(std::move(stop)); }),
      thread_([this](std::stop_token stop) { Run(std::move(stop)); }) {}

SyncService::~SyncService() = default;

void SyncService::RunSoon() {
  std::lock_guard lock(mutex_);
  asked_ = true;
  wake_.notify_all();
}

SyncState SyncService::state() const {
  std::lock_guard lock(mutex_);
  SyncState state = state_;
  if (synchronizer_) state.progress = synchronizer_->Progress();
  if (synchronizer_) state.counts.transfer = synchronizer_->counts();
  return state;
}

void SyncService::Run(std::stop_token stop) {
  std::size_t failures = 0;
  std::uint64_t version = 0;
  while (!stop.stop_requested()) {
    {
      std::lock_guard lock(mutex_);
      asked_ = false;
      state_.running = true;
    }
    const absl::Status status = OnePass(stop);
    std::unique_lock lock(mutex_);
    const std::string error(status.message());
    if (!status.ok() && error != state_.last_error && !stop.stop_requested()) {
      base::Log(kLog).warn("models are not synchronised: {}", error);
    }
    state_.running = false;
    state_.last_error = error;
    ++state_.counts.passes;
    state_.counts.failed_passes += status.ok() ? 0 : 1;
    // What failed of another version says nothing of this one.
    if (std::exchange(version, state_.subnet_version) != state_.subnet_version) failures = 0;
    failures = !status.ok() || AnyFailed() ? failures + 1 : 0;
    state_.pause = PauseAfter(failures, options_.retry, options_.interval);
    wake_.wait_for(lock, stop, state_.pause, [this] { return asked_; });
  }
}

bool SyncService::AnyFailed() const {
  return std::any_of(
      state_.outcomes.begin(), state_.outcomes.end(),
      [](const ModelOutcome& outcome) { return outcome.kind == ModelOutcome::Kind::kFailed; });
}

absl::Status SyncService::OnePass(std::stop_token stop) {
  if (!folder_) {
    ASSIGN_OR_RETURN(folder_, ModelsFolder::Open(options_.folder));
    SynchronizerOptions options = options_.synchronizer;
    options.download.chunk_sources["grpc"] = chunks_.get();
    auto synchronizer = std::make_unique<Synchronizer>(*folder_, store_, std::move(options));
    std::lock_guard lock(mutex_);
    synchronizer_ = std::move(synchronizer);
  }
  ASSIGN_OR_RETURN(const inference::Subnet subnet,
                   AcceptSubnet(*folder_, registries_, options_.following, stop,
                                [](const registry::RegistryProblem& problem) {
                                  base::Log(kLog).warn("{}", std::string(problem.status.message()));
                                }));
  {
    std::lock_guard lock(mutex_);
    if (state_.subnet_version != subnet.version) {
      base::Log(kLog).info("subnet {} \"{}\" version {}: {} models", subnet.subnet_id, subnet.name,
                           subnet.version, subnet.models.size());
    }
    state_.subnet_version = subnet.version;
  }
  std::vector<ModelOutcome> outcomes = synchronizer_->Run(subnet, stop, {}, LogOutcome);
  if (options_.on_pass && !stop.stop_requested()) options_.on_pass(outcomes);
  std::lock_guard lock(mutex_);
  for (const ModelOutcome& outcome : outcomes) {
    using Kind = ModelOutcome::Kind;
    const bool is_new = outcome.kind == Kind::kInstalled || outcome.kind == Kind::kRestored;
    state_.counts.installed_models += is_new ? 1 : 0;
    state_.counts.failed_models += outcome.kind == Kind::kFailed ? 1 : 0;
  }
  state_.outcomes = std::move(outcomes);
  state_.finished_seconds = std::chrono::duration_cast<std::chrono::seconds>(
                                std::chrono::system_clock::now().time_since_epoch())
                                .count();
  return absl::OkStatus();
}

void SyncService::Report(std::stop_token stop) {
  base::Terminal& terminal = base::Terminal::StandardError();
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const std::size_t columns = terminal.columns();
    wake_.wait_for(lock, stop, columns > 0 ? options_.draw_every : options_.report_every,
                   [&] { return stop.stop_requested(); });
    if (stop.stop_requested() || !synchronizer_) continue;
    const transfer::TransferProgress progress =
        state_.running ? synchronizer_->Progress() : transfer::TransferProgress{};
    if (columns > 0) {
      terminal.SetFooter(ProgressBars(progress, columns, kBarsMax));
    } else if (progress.total.size_bytes > 0) {
      base::Log(kLog).info("{}", ProgressLine(progress.total));
    }
  }
  terminal.SetFooter({});
}

}  // namespace ncn::sync
