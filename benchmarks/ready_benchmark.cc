// Requests to ready sandboxes, without gateway and wire, for benchmarks/ready.py. Commands come
// line by line on standard input, answers go as one JSON object a line to standard output:
//   run PATH CONTENT_TYPE                          one request with the bytes of the file
//   saturate PATH CONTENT_TYPE SECONDS IN_FLIGHT   as many as possible
//   cancel PATH CONTENT_TYPE MS                    one that is cancelled after so long
//   stats                                          of the children that are ready

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/logging.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "config/locations.h"
#include "executors/cold_script_runner.h"
#include "executors/executor_selector.h"
#include "executors/ready_script_runner.h"
#include "executors/zygotes.h"
#include "models/model_store.h"
#include "sandbox/sandbox.h"

namespace ncn::benchmarks {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::size_t kInputBytesMax = 512 << 20;
constexpr std::chrono::minutes kLoadTimeMax{2};

struct Rig {
  const models::Model& model;
  const executors::Executor& executor;
  executors::ReadyScriptRunner& runner;
};

double CpuSeconds(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// Of the whole machine, in seconds: children are not ours to wait for.
double BusySeconds() {
  std::ifstream stat("/proc/stat");
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0;
  stat >> word >> user >> nice >> system >> idle >> wait >> irq >> soft;
  return (user + nice + system + irq + soft) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

executors::Outcome Ask(Rig& rig, const std::string& bytes, const std::string& type,
                       std::stop_token stop = {}) {
  const inference::InferenceRequest request{
      .id = *inference::RequestId::Parse("bench"),
      .model = rig.model.id,
      .input = {bytes, type},
      .client_address = "0x0000000000000000000000000000000000000001"};
  return rig.runner.Run({.executor = rig.executor,
                         .model = rig.model,
                         .request = request,
                         .deadline = std::chrono::steady_clock::now() + seconds(300),
                         .stop = std::move(stop)});
}

json RunOnce(Rig& rig, const std::string& bytes, const std::string& type) {
  const auto began = std::chrono::steady_clock::now();
  const executors::Outcome outcome = Ask(rig, bytes, type);
  json line = {{"ms", Milliseconds(std::chrono::steady_clock::now() - began).count()}};
  if (const auto* failure = std::get_if<inference::Failure>(&outcome)) {
    line["ok"] = false;
    line["error"] = failure->message + ": " + failure->detail;
    return line;
  }
  const auto& result = std::get<inference::InferenceResult>(outcome);
  line["ok"] = true;
  line["isolation"] = result.record.isolation;
  line["sha256"] = base::AsHex(base::Sha256(result.output.bytes));
  for (const inference::StepTime& step : result.record.steps) {
    line["steps"][step.step] = Milliseconds(step.duration).count();
  }
  return line;
}

// From the request's cancellation until its slot is free.
json Cancel(Rig& rig, const std::string& bytes, const std::string& type, double after_ms) {
  std::stop_source stop;
  std::chrono::steady_clock::time_point stopped;
  std::jthread canceller([&] {
    std::this_thread::sleep_for(Milliseconds(after_ms));
    stopped = std::chrono::steady_clock::now();
    stop.request_stop();
  });
  const executors::Outcome outcome = Ask(rig, bytes, type, stop.get_token());
  const auto free_at = std::chrono::steady_clock::now();
  canceller.join();
  const auto* failure = std::get_if<inference::Failure>(&outcome);
  return {{"ok", failure != nullptr && failure->kind == inference::FailureKind::kCancelled},
          {"ms", Milliseconds(free_at - stopped).count()}};
}

json Saturate(Rig& rig, const std::string& bytes, const std::string& type, double duration,
              int in_flight) {
  std::mutex mutex;
  std::vector<double> latencies;
  int failed = 0;
  const double busy_before = BusySeconds(), own_before = CpuSeconds(RUSAGE_SELF);
  const auto began = std::chrono::steady_clock::now();
  const auto end = began + std::chrono::duration<double>(duration);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < in_flight; ++t) {
      threads.emplace_back([&] {
        while (std::chrono::steady_clock::now() < end) {
          const auto asked = std::chrono::steady_clock::now();
          const bool ok = std::holds_alternative<inference::InferenceResult>(Ask(rig, bytes, type));
          const double taken = Milliseconds(std::chrono::steady_clock::now() - asked).count();
          const std::lock_guard lock(mutex);
          ok ? latencies.push_back(taken) : static_cast<void>(++failed);
        }
      });
    }
  }
  const double taken =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&](double share) {
    return latencies.empty() ? 0
                             : latencies[static_cast<std::size_t>(
                                   share * static_cast<double>(latencies.size() - 1))];
  };
  const auto count = static_cast<double>(std::max<std::size_t>(1, latencies.size()));
  return {{"requests_per_s", static_cast<double>(latencies.size()) / taken},
          {"p50_ms", quantile(0.5)},
          {"p95_ms", quantile(0.95)},
          {"p99_ms", quantile(0.99)},
          {"failed", failed},
          {"cpu_ms_per_request", 1000 * (BusySeconds() - busy_before) / count},
          {"node_cpu_ms_per_request", 1000 * (CpuSeconds(RUSAGE_SELF) - own_before) / count}};
}

json Stats(Rig& rig) {
  json line = {{"children", 0}};
  for (const executors::CacheEntry& entry : rig.runner.Entries()) {
    if (entry.model != rig.model.id.value()) continue;
    line = {{"children", entry.ready},
            {"state", executors::Name(entry.state)},
            {"memory_bytes", entry.memory_bytes},
            {"private_bytes_per_child", entry.private_bytes},
            {"load_ms", entry.load_time.count()}};
  }
  return line;
}

void Answer(const json& line) {
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

absl::Status Serve(Rig& rig) {
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string text; std::getline(std::cin, text);) {
    std::istringstream words(text);
    std::string word, path, type;
    double duration = 0;
    int in_flight = 1;
    words >> word >> path >> type >> duration >> in_flight;
    if (word == "stats") {
      Answer(Stats(rig));
      continue;
    }
    ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(path, kInputBytesMax));
    Answer(word == "saturate" ? Saturate(rig, bytes, type, duration, in_flight)
           : word == "cancel" ? Cancel(rig, bytes, type, duration)
                              : RunOnce(rig, bytes, type));
  }
  return absl::OkStatus();
}

// The candidate of that name; without a name, the first.
absl::StatusOr<executors::Executor> Choose(const std::vector<executors::Executor>& candidates,
                                           const std::string& name) {
  for (const executors::Executor& executor : candidates) {
    if (name.empty() || executor.name == name) return executor;
  }
  return absl::NotFoundError(base::StrCat("no executor ", name, " for this model"));
}

// Waits until each model has as many children as are to wait, or cannot be loaded.
absl::Status AwaitAll(const executors::ReadyScriptRunner& runner, std::uint32_t ready_min) {
  const auto all_loaded = [&] {
    const auto entries = runner.Entries();
    return std::all_of(entries.begin(), entries.end(), [&](const executors::CacheEntry& entry) {
      return entry.state == executors::CacheState::kQuarantined ||
             (entry.ready >= ready_min && entry.loading == 0);
    });
  };
  const auto patience = std::chrono::steady_clock::now() + kLoadTimeMax;
  while (!all_loaded()) {
    if (std::chrono::steady_clock::now() > patience) {
      return absl::DeadlineExceededError("not every model got ready");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return absl::OkStatus();
}

using Options = std::map<std::string, std::string>;  // By flag.

std::uint32_t NumberOf(const Options& options, const std::string& flag) {
  return static_cast<std::uint32_t>(std::stoul(options.at(flag)));
}

absl::Status Main(const Options& options) {
  if (const char* filter = std::getenv("COMPUTE_NODE_LOG")) {
    RETURN_IF_ERROR(base::ConfigureLogging(filter));
  }
  ASSIGN_OR_RETURN(auto sandbox, sandbox::CreateSandbox({.launcher_path = NCN_LAUNCHER}));
  const base::Clock& clock = base::Clock::System();
  const std::filesystem::path scripts = NCN_EXECUTORS;
  const auto level = executors::IsolationFromName(options.at("--level"));
  if (!level) return absl::InvalidArgumentError("the level is request, tenant or cold");
  ASSIGN_OR_RETURN(const auto id, inference::ModelId::Parse(options.at("--model")));
  ASSIGN_OR_RETURN(const auto selector,
                   executors::ExecutorSelector::Create(scripts, NCN_NATIVE_EXECUTOR));
  ASSIGN_OR_RETURN(const auto environment,
                   executors::RuntimeEnvironment::Locate(scripts, config::DefaultRuntimeImage()));
  inference::ExecutionLimits limits;
  limits.cpu_time = std::chrono::hours(24);
  const std::string& folder = options.at("--models");
  const models::ModelStore store(folder);
  ASSIGN_OR_RETURN(const auto model, store.Find(id));
  ASSIGN_OR_RETURN(const auto candidates, selector.Candidates(*model));
  ASSIGN_OR_RETURN(const auto executor, Choose(candidates, options.at("--executor")));
  executors::ColdScriptRunner cold(*sandbox, environment, scripts, {.limits = limits}, clock);
  executors::Zygotes zygotes(*sandbox, environment,
                             {.executors_path = scripts,
                              .library = NCN_ZYGOTE_LIBRARY,
                              .native_program = NCN_NATIVE_EXECUTOR,
                              .models = {folder},
                              .limits = limits},
                             clock);
  const std::uint32_t ready_min = NumberOf(options, "--ready-min");
  const std::uint32_t most = NumberOf(options, "--ready-max");
  const std::uint32_t cores = std::max(1u, std::thread::hardware_concurrency());
  executors::ReadyScriptRunner runner(
      zygotes, cold, sandbox->mode(), environment, scripts,
      {.limits = limits,
       .isolation = *level,
       .snapshots = options.at("--snapshots") == "yes",
       .cache = {.children_min = ready_min,
                 .children_max = most > 0 ? most : ready_min + 4 * cores,
                 .builders = cores,
                 .reuse_requests_max = NumberOf(options, "--reuse-requests"),
                 .reuse_time_max = std::chrono::hours(24)}},
      clock);
  Rig rig{*model, executor, runner};
  std::istringstream others(options.at("--others"));
  for (std::string other; std::getline(others, other, ',');) {
    ASSIGN_OR_RETURN(const auto other_id, inference::ModelId::Parse(other));
    ASSIGN_OR_RETURN(const auto other_model, store.Find(other_id));
    ASSIGN_OR_RETURN(const auto executors, selector.Candidates(*other_model));
    runner.Preload(*other_model, executors.front());
  }
  if (*level != executors::Isolation::kCold) {
    runner.Preload(*model, executor);
    RETURN_IF_ERROR(AwaitAll(runner, ready_min));
    const executors::CacheEntry entry = runner.Entries().front();
    if (entry.state != executors::CacheState::kReady) return absl::InternalError(entry.reason);
  }
  return Serve(rig);
}

}  // namespace
}  // namespace ncn::benchmarks

int main(int argc, char** argv) {
  ncn::benchmarks::Options options = {
      {"--level", "request"}, {"--ready-min", "1"}, {"--executor", ""},           {"--others", ""},
      {"--snapshots", "yes"}, {"--ready-max", "0"}, {"--reuse-requests", "10000"}};
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  if (options["--models"].empty() || options["--model"].empty()) {
    std::fprintf(stderr,
                 "Usage: ready_benchmark --models DIR --model NAME [--level LEVEL] "
                 "[--executor NAME] [--ready-min N] [--others NAME,NAME] [--ready-max N] "
                 "[--reuse-requests N] [--snapshots yes|no]\n");
    return 2;
  }
  const absl::Status status = ncn::benchmarks::Main(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  return 1;
}
