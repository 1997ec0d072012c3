// compute_node: dials a gateway, runs its requests in sandboxes, returns signed results.

#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "absl/strings/str_join.h"
#include "apps/compute_node/sandbox_check.h"
#include "apps/compute_node/state_folder.h"
#include "apps/compute_node/subnet_membership.h"
#include "apps/compute_node/wallet_loading.h"
#include "apps/sync_setup.h"
#include "base/clock.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "config/locations.h"
#include "config/machine.h"
#include "config/node_config.h"
#include "execution/deadline_execution.h"
#include "execution/logging_execution.h"
#include "execution/model_execution.h"
#include "execution/payment_execution.h"
#include "execution/signing_execution.h"
#include "execution/statistics_execution.h"
#include "execution/validating_execution.h"
#include "executors/cold_script_runner.h"
#include "executors/executor_selector.h"
#include "executors/ready_script_runner.h"
#include "executors/runtime_environment.h"
#include "models/model_store.h"
#include "node/control.h"
#include "node/outbox.h"
#include "node/session.h"
#include "rewind/self_check.h"
#include "sandbox/sandbox.h"
#include "signing/result_signer.h"
#include "signing/session_proof.h"
#include "telemetry/execution_statistics.h"

namespace ncn::apps {
namespace {

using config::NodeConfig;
using execution::Execution;
using std::chrono::seconds;

constexpr seconds kTendInterval{1};

inference::ExecutionLimits LimitsOf(const NodeConfig& config) {
  const std::uint64_t message_bytes = std::uint64_t{config.message_mb_max} << 20;
  inference::ExecutionLimits limits;
  limits.wall_clock = seconds(config.execution_timeout_seconds);
  // Twice the wall clock on every core is more than an execution can use and still be in time.
  limits.cpu_time = seconds(2 * config.execution_timeout_seconds *
                            std::max(1u, std::thread::hardware_concurrency()));
  limits.memory_bytes = std::uint64_t{config.memory_mb_max} << 20;
  limits.output_bytes = message_bytes;
  // Input, output, the output's temporary and room to work.
  limits.workspace_bytes = 3 * message_bytes + (64ULL << 20);
  return limits;
}

std::uint32_t SlotsOf(const NodeConfig& config) {
  return config::SlotsFor(config::ThisMachine(), config.execution_slots, config.memory_mb_max);
}

std::uint32_t ThreadsOf(const NodeConfig& config) {
  return config::ThreadsFor(config::ThisMachine(), config.threads_per_request, SlotsOf(config));
}

// Lets sandboxes be rewound, and made from one another, where this machine can; a new one for each
// request otherwise.
void UseSnapshots(executors::ReadyScriptRunner::Options& options, const absl::Status& can) {
  options.snapshots = can.ok();
  if (can.ok()) return;
  const auto instead = [](executors::Isolation& level) {
    const bool rewound = level == executors::Isolation::kRewind;
    if (rewound) level = executors::Isolation::kRequest;
    return rewound;
  };
  bool asked = instead(options.isolation);
  for (auto& [model, level] : options.isolation_of) asked = instead(level) || asked;
  if (!asked) return;
  base::Log("executors")
      .warn(
          "isolation rewind is not to be had here, each request gets a new sandbox: {}. "
          "'ncn doctor' tells what to do.",
          std::string(can.message()));
}

executors::ReadyScriptRunner::Options ReadyOptionsOf(const NodeConfig& config,
                                                     const inference::ExecutionLimits& limits,
                                                     const absl::Status& can_rewind) {
  executors::ReadyScriptRunner::Options options{
      .limits = limits,
      .load_time_max = seconds(config.model_load_timeout_seconds),
      .threads = ThreadsOf(config),
      .isolation = config.sandbox_mode == "disabled"
                       ? executors::Isolation::kCold
                       : *executors::IsolationFromName(config.isolation),
      .cache = {.time_to_live = seconds(config.model_cache_ttl_seconds),
                .memory_bytes = std::uint64_t{config.model_cache_mb} << 20,
                .children_min = config.ready_min,
                .children_max = config.ready_max > 0 ? config.ready_max : 4 * SlotsOf(config),
                .builders = SlotsOf(config),
                .reuse_requests_max = config.tenant_requests_max,
                .reuse_time_max = seconds(config.tenant_seconds_max),
                .pinned = {config.pin.begin(), config.pin.end()}}};
  for (const auto& [model, level] : config.isolation_of) {
    options.isolation_of[model] = *executors::IsolationFromName(level);
  }
  UseSnapshots(options, can_rewind);
  return options;
}

// The native executor's program, where it and its ONNX Runtime are; empty otherwise.
std::filesystem::path NativeProgram(const executors::RuntimeEnvironment& environment) {
  const std::filesystem::path program = sandbox::BesideProgram("ncn_native_executor");
  std::error_code error;
  if (!environment.onnxruntime.empty() && std::filesystem::exists(program, error)) return program;
  base::Log("executors")
      .warn("no native executor, ONNX models run in Python: {}",
            environment.onnxruntime.empty() ? "the environment has no library ONNX Runtime"
                                            : program.native() + " is missing");
  return {};
}

// Zygotes of the frameworks that the models need, which import while the node connects.
void StartZygotes(const models::ModelStore& store, const executors::ExecutorSelector& selector,
                  executors::Zygotes& zygotes) {
  std::set<executors::Framework> frameworks;
  for (const auto& model : store.Models()) {
    const auto candidates = selector.Candidates(*model);
    if (candidates.ok()) {
      frameworks.insert(executors::FrameworkFor(candidates->front(), *model));
    }
  }
  for (const executors::Framework framework : frameworks) {
    const auto zygote = zygotes.Get(framework);
    if (!zygote.ok()) {
      base::Log("executors")
          .warn("no ready sandboxes of {}: {}", executors::Name(framework),
                std::string(zygote.status().message()));
    }
  }
}

// A zygote that dies is back when the next request comes.
std::jthread TendZygotes(executors::Zygotes& zygotes) {
  return std::jthread([&zygotes](std::stop_token stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any stopped;
    while (!stop.stop_requested()) {
      zygotes.Tend();
      stopped.wait_for(lock, stop, kTendInterval, [] { return false; });
    }
  });
}

// Those that are pinned, too.
std::set<std::string> NamesToPreload(const NodeConfig& config) {
  std::set<std::string> names(config.preload.begin(), config.preload.end());
  names.insert(config.pin.begin(), config.pin.end());
  return names;
}

void Preload(const std::set<std::string>& names, const models::ModelStore& store,
             const executors::ExecutorSelector& selector, executors::ReadyScriptRunner& runner) {
  for (const std::string& name : names) {
    const auto id = inference::ModelId::Parse(name);
    const auto model = id.ok() ? store.Find(*id) : id.status();
    const auto candidates = model.ok() ? selector.Candidates(**model) : model.status();
    if (candidates.ok()) {
      runner.Preload(**model, candidates->front());
    } else {
      base::Log("models").warn("model {} is not preloaded: {}", name,
                               std::string(candidates.status().message()));
    }
  }
}

// Makes ready what the changed folders of models ask for, and lets go of what they no longer hold.
void FollowChanges(const std::vector<models::ModelChange>& changes, const NodeConfig& config,
                   const models::ModelStore& store, const executors::ExecutorSelector& selector,
                   executors::Zygotes& zygotes, executors::ReadyScriptRunner& runner) {
  using Kind = models::ModelChange::Kind;
  const std::set<std::string> wanted = NamesToPreload(config);
  std::set<std::string> names;
  for (const models::ModelChange& change : changes) {
    const bool warm = change.kind != Kind::kAdded && runner.Forget(change.id);
    if (change.kind != Kind::kRemoved && (warm || wanted.contains(change.id.value()))) {
      names.insert(change.id.value());
    }
  }
  if (config.sandbox_mode == "disabled") return;
  StartZygotes(store, selector, zygotes);
  Preload(names, store, selector, runner);
}

// A request's way, from the outside in.
std::unique_ptr<Execution> ComposeExecution(const NodeConfig& config,
                                            const models::ModelStore& store,
                                            const executors::ExecutorSelector& selector,
                                            executors::ScriptRunner& runner,
                                            const signing::ResultSigner& signer,
                                            telemetry::ExecutionStatistics& statistics) {
  const base::Clock& clock = base::Clock::System();
  const inference::RequestLimits limits{.input_bytes_max = std::size_t{config.message_mb_max} << 20,
                                        .timeout_max = seconds(config.execution_timeout_seconds)};
  std::unique_ptr<Execution> way = std::make_unique<execution::ModelExecution>(
      store, selector, runner, config.execution_fallback, clock);
  way = std::make_unique<execution::DeadlineExecution>(std::move(way), limits.timeout_max, clock);
  if (config.require_payment) {
    way = std::make_unique<execution::PaymentExecution>(std::move(way));
  }
  way = std::make_unique<execution::ValidatingExecution>(std::move(way), limits);
  way = std::make_unique<execution::SigningExecution>(std::move(way), signer, clock);
  way = std::make_unique<execution::StatisticsExecution>(std::move(way), statistics, clock);
  return std::make_unique<execution::LoggingExecution>(std::move(way), clock);
}

std::vector<std::string> NamesOf(const models::ModelStore& store) {
  std::vector<std::string> names;
  for (const inference::ModelId& id : store.List()) names.push_back(id.value());
  return names;
}

wire::StatisticsSummary SummaryOf(const telemetry::ExecutionCounts& counts) {
  return {counts.total, counts.successful, counts.failed,
          static_cast<std::uint64_t>(counts.average().count())};
}

node::StatisticsReport ReportOf(const telemetry::StatisticsSnapshot& snapshot) {
  return {telemetry::ToJson(snapshot), SummaryOf(snapshot.all)};
}

// What two executors keep ready of one model, as one entry.
executors::CacheEntry Joined(executors::CacheEntry a, executors::CacheEntry b) {
  using executors::CacheState;
  // One that serves tells more of the model than one that does not.
  for (const CacheState state : {CacheState::kReady, CacheState::kLoading, CacheState::kEvicting,
                                 CacheState::kQuarantined}) {
    if (a.state == state) break;
    if (b.state == state) {
      std::swap(a, b);
      break;
    }
  }
  a.ready += b.ready;
  a.loading += b.loading;
  a.busy += b.busy;
  a.memory_bytes += b.memory_bytes;
  return a;
}

std::vector<node::ModelReport> ReportOf(const models::ModelStore& store,
                                        const executors::ReadyScriptRunner& runner,
                                        const std::filesystem::path& synchronised_folder,
                                        const std::vector<std::string>& pins) {
  const std::set<std::string> pinned(pins.begin(), pins.end());
  std::vector<node::ModelReport> reports;
  const auto synchronised =
      SynchronisedIn(synchronised_folder).value_or(std::map<std::string, sync::InstalledModel>());
  std::map<std::string, executors::CacheEntry> cached;
  for (executors::CacheEntry& entry : runner.Entries()) {
    const auto [known, first] = cached.try_emplace(entry.model, entry);
    if (!first) known->second = Joined(std::move(known->second), std::move(entry));
  }
  for (const auto& model : store.Models()) {
    const executors::CacheEntry& entry = cached[model->id.value()];
    reports.push_back({.model = model->id.value(),
                       .format = std::string(models::Name(model->format)),
                       .size_bytes = model->tree_size_bytes,
                       .sha256 = model->tree_sha256,
                       .state = std::string(executors::Name(entry.state)),
                       .ready = entry.ready,
                       .loading = entry.loading,
                       .busy = entry.busy,
                       .memory_bytes = entry.memory_bytes,
                       .reason = entry.reason,
                       .retry_after_ms = static_cast<std::uint64_t>(entry.retry_after.count()),
                       .loading_for_ms = static_cast<std::uint64_t>(entry.loading_for.count()),
                       .load_time_ms = static_cast<std::uint64_t>(entry.load_time.count()),
                       .version = VersionOf(*model, synchronised),

                       .pinned = pinned.contains(model->id.value()),
                       .isolation = std::string(executors::Name(runner.LevelOf(*model)))});
  }
  for (const auto& [name, problem] : store.Problems()) {
    reports.push_back({.model = name, .problems = {std::string(problem.message())}});
  }
  return reports;
}

void Say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// Said again whenever the models change.
void SayRegistered(const std::vector<std::string>& models) {
  const auto quoted = [](std::string* out, const std::string& name) {
    *out += base::StrCat("\"", name, "\"");
  };
  Say(base::StrCat("✓ Registered with supported models: [", absl::StrJoin(models, ", ", quoted),
                   "]"));
}

node::SessionCallbacks StartUpLines() {
  return {.on_connected = [] { Say("✓ Connected to Gateway"); },
          .on_registered = SayRegistered,
          .on_ready = [] { Say("✓ Compute Node ready for tasks"); }};
}

// What is in the folders and cannot be had must not pass in silence.
void WarnOfProblems(const models::ModelStore& store) {
  for (const auto& [name, problem] : store.Problems()) {
    base::Log("models").warn("model {} is not served: {}", base::OneLine(name),
                             base::OneLine(base::ToStd(problem.message())));
  }
}

// Where models are served from: the operator's own, and those of the subnet.
std::vector<std::filesystem::path> ModelFolders(const NodeConfig& config) {
  std::error_code error;
  const bool given = config.sync.models_dir != config::SyncConfig().models_dir;
  if (!config.sync_models && !given) return {config.model_path};
  // When it cannot be made, the first synchronisation says so.
  if (config.sync_models) std::filesystem::create_directories(config.sync.models_dir, error);
  if (std::filesystem::equivalent(config.model_path, config.sync.models_dir, error)) {
    return {config.model_path};
  }
  return {config.model_path, config.sync.models_dir};
}

// The statistics, with what the subnet has to do with them.
node::StatisticsReport ReportOf(const telemetry::StatisticsSnapshot& snapshot,
                                const SubnetMembership* member) {
  node::StatisticsReport report = ReportOf(snapshot);
  auto object = nlohmann::json::parse(report.json, nullptr, false);
  if (member == nullptr || !object.is_object()) return report;
  object["subnet"] = nlohmann::json::parse(member->ToJson(), nullptr, false);
  report.json = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return report;
}

// Waits for SIGINT or SIGTERM, which the process blocks.
int WaitForStopSignal() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  int signal = 0;
  ::sigwait(&signals, &signal);
  return signal;
}

void BlockStopSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

// The product, from top to bottom; cut up it would say less.
// NOLINTNEXTLINE(readability-function-size): see above.
absl::Status Run(const NodeConfig& config) {
  const base::Clock& clock = base::Clock::System();
  RETURN_IF_ERROR(base::ConfigureLogging(config.log_filter));
  BlockStopSignals();
  Say("Starting Compute Node...");
  // The launcher is forked off before anything here has a thread or a secret.
  ASSIGN_OR_RETURN(
      const auto sandbox,
      sandbox::CreateSandbox({.mode = *sandbox::SandboxModeFromName(config.sandbox_mode)}));
  const absl::Status can_rewind = rewind::CheckKernel().status();  // Of a process that is forked.
  ASSIGN_OR_RETURN(const base::UniqueFd state_lock, LockStateFolder(config.state_dir));

  Say("Loading wallet from environment...");
  ASSIGN_OR_RETURN(const LoadedWallet loaded, LoadWallet(config));
  if (!loaded.notice.empty()) Say(loaded.notice);
  const signing::Wallet& wallet = loaded.wallet;
  const std::string address = wallet.address().ToString();
  Say(base::StrCat("✓ Wallet initialized: ", address.substr(0, 10), "..."));

  const std::filesystem::path scripts = config::FindBesideProgram(config.python_executor_path);
  ASSIGN_OR_RETURN(const auto environment,
                   executors::RuntimeEnvironment::Locate(scripts, config.runtime_image));
  const std::filesystem::path native_program = NativeProgram(environment);
  ASSIGN_OR_RETURN(const auto selector,
                   executors::ExecutorSelector::Create(scripts, native_program));
  const inference::ExecutionLimits limits = LimitsOf(config);
  ASSIGN_OR_RETURN(const std::vector<std::string> layers,
                   CheckSandbox(*sandbox, environment, limits));
  models::ModelStore store(
      {.folders = ModelFolders(config), .index = config.state_dir / "model_index.db"});
  store.Watch();
  WarnOfProblems(store);

  telemetry::ExecutionStatistics statistics(clock);
  const signing::ResultSigner signer(wallet, clock);
  executors::ColdScriptRunner cold_runner(*sandbox, environment, selector.executors_path(),
                                          {.limits = limits, .threads = ThreadsOf(config)}, clock);
  executors::Zygotes zygotes(*sandbox, environment,
                             {.executors_path = selector.executors_path(),
                              .library = sandbox::BesideProgram("libncn_zygote.so"),
                              .native_program = native_program,
                              .models = store.folders(),
                              .limits = limits},
                             clock);
  executors::ReadyScriptRunner runner(zygotes, cold_runner, sandbox->mode(), environment,
                                      selector.executors_path(),
                                      ReadyOptionsOf(config, limits, can_rewind), clock);
  std::jthread tending;
  if (config.sandbox_mode != "disabled") {
    tending = TendZygotes(zygotes);
    StartZygotes(store, selector, zygotes);
    Preload(NamesToPreload(config), store, selector, runner);
  }
  const auto execution = ComposeExecution(config, store, selector, runner, signer, statistics);

  const auto describe = [&] {
    return wire::NodeInfo{.address = address,
                          .version = NCN_VERSION,
                          .supported_models = NamesOf(store),
                          .sandbox_mode = config.sandbox_mode,
                          .enforced_layers = layers,
                          .statistics = SummaryOf(statistics.Snapshot().all),
                          .input_bytes_max = std::uint64_t{config.message_mb_max} << 20,
                          .subnet_id = config.sync.subnet_id};
  };
  const auto sign = [&](std::string_view nonce, std::string_view to, std::uint32_t version) {
    return signing::SignChallenge(wallet, nonce, to, version);
  };
  node::MemoryOutbox outbox({});
  node::NodeSession session(
      {.gateway_address = config.gateway_address,
       .connection = {.payload_bytes_max = std::size_t{config.message_mb_max} << 20,
                      .ca_file = config.tls_ca_file.value_or("")},
       .slots = SlotsOf(config),
       .queue_capacity = config.queue_depth},
      *execution, outbox, describe, sign, StartUpLines());
  ASSIGN_OR_RETURN(auto member, SubnetMembership::Join(
                                    config, store, [&] { return session.Describe(); }, sign, Say));
  auto subscription = store.Subscribe([&](const std::vector<models::ModelChange>& changes) {
    session.NotifyChanged();
    if (member != nullptr) member->NotifyChanged();
    if (session.state().connected) SayRegistered(NamesOf(store));
    FollowChanges(changes, config, store, selector, zygotes, runner);
  });
  ASSIGN_OR_RETURN(
      auto control,
      node::ControlServer::Start(
          config.state_dir / "control.sock",
          {.statistics = [&] { return ReportOf(statistics.Snapshot(), member.get()); },
           .node =
               [&] {
                 const node::SessionState state = session.state();
                 return node::NodeReport{.info = session.Describe(),
                                         .gateway_address = config.gateway_address,
                                         .connected = state.connected,
                                         .last_error = state.last_error,
                                         .reconnects = state.reconnects,
                                         .results_pending = outbox.usage().count};
               },
           .models = [&] { return ReportOf(store, runner, config.sync.models_dir, config.pin); }}));
  Say(base::StrCat("Connecting to Gateway at ", config.gateway_address, "..."));
  RETURN_IF_ERROR(session.Start());

  WaitForStopSignal();
  Say("Draining: finishing what runs, taking nothing new. A second signal ends the node at once.");
  const std::jthread hurry([](std::stop_token) {
    const int signal = WaitForStopSignal();
    std::_Exit(128 + signal);  // The launcher ends every sandbox when this process is gone.
  });
  const bool complete = session.Drain(seconds(config.drain_timeout_seconds));
  Say(telemetry::ToText(statistics.Snapshot()));
  control.reset();
  subscription.reset();
  member.reset();
  std::fflush(nullptr);
  std::_Exit(complete ? 0 : 1);  // Nobody can join a thread that waits for a signal.
}

}  // namespace
}  // namespace ncn::apps

int main(int argc, char** argv) {
  const auto parsed = ncn::config::ParseNodeConfig(argc, argv, NCN_VERSION);
  if (const auto* exit = std::get_if<ncn::config::ExitText>(&parsed)) {
    return ncn::config::PrintExit(*exit);
  }
  const absl::Status status = ncn::apps::Run(std::get<ncn::config::NodeConfig>(parsed));
  if (status.ok()) return 0;
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  return 1;
}
