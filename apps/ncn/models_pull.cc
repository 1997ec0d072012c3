#include <CLI/CLI.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/ncn/models_commands.h"
#include "apps/ncn/stop_signals.h"
#include "apps/sync_setup.h"
#include "base/strings.h"
#include "base/terminal.h"
#include "sync/progress_text.h"
#include "sync/registry_chunks.h"
#include "sync/sync_service.h"

namespace ncn::apps {
namespace {

struct PullOptions {
  config::SyncConfig sync;
  std::vector<std::string> models;
  std::string tls_ca_file;
  bool json = false;
};

// Shows how far the downloads have come while it exists: bars on a terminal, otherwise a line every
// few seconds, on standard error.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(const sync::Synchronizer& synchronizer)
      : synchronizer_(synchronizer), thread_([this](std::stop_token stop) { Run(stop); }) {}
  ~ProgressDisplay() {
    thread_.request_stop();
    thread_.join();
    terminal_.SetFooter({});
  }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  // Prints a line above the bars.
  void Say(const std::string& line) {
    terminal_.PrintAbove([&] { std::fprintf(stderr, "%s\n", line.c_str()); });
  }

 private:
  void Run(const std::stop_token& stop) {
    using std::chrono::milliseconds;
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      const std::size_t columns = terminal_.columns();
      const milliseconds pause = columns > 0 ? milliseconds(200) : milliseconds(5000);
      if (wake.wait_for(lock, stop, pause, [&] { return stop.stop_requested(); })) return;
      const transfer::TransferProgress progress = synchronizer_.Progress();
      if (columns > 0) {
        terminal_.SetFooter(sync::ProgressBars(progress, columns, 6));
      } else if (progress.total.size_bytes > 0) {
        Say(sync::ProgressLine(progress.total));
      }
    }
  }

  const sync::Synchronizer& synchronizer_;
  base::Terminal& terminal_ = base::Terminal::StandardError();
  std::jthread thread_;
};

nlohmann::json ToJson(const sync::ModelOutcome& outcome) {
  return {{"model", outcome.model},
          {"version", outcome.version},
          {"outcome", sync::Name(outcome.kind)},
          {"size_bytes", outcome.size_bytes},
          {"error", std::string(outcome.status.message())}};
}

int Pull(const PullOptions& options) {
  if (options.sync.registries.empty()) {
    return Fail("say which registry knows the subnet: --registry-addr http://HOST:PORT");
  }
  auto registries = ConnectRegistries(options.sync, options.tls_ca_file);
  if (!registries.ok()) return Fail(registries.status());
  auto folder = sync::ModelsFolder::Open(options.sync.models_dir);
  if (!folder.ok()) return Fail(folder.status());
  const StopOnSignal stop_on_signal;
  const auto subnet = sync::AcceptSubnet(
      **folder, *registries, FollowingOf(options.sync), stop_on_signal.token(),
      [](const registry::RegistryProblem& problem) {
        std::fprintf(stderr, "Warning: %s\n", std::string(problem.status.message()).c_str());
      });
  if (!subnet.ok()) return Fail(subnet.status());

  models::ModelStore store(options.sync.models_dir);
  sync::RegistryChunks chunks(*registries);
  sync::SynchronizerOptions synchronizing =
      SynchronizerOptionsOf(options.sync, options.tls_ca_file);
  synchronizing.download.chunk_sources["grpc"] = &chunks;
  sync::Synchronizer synchronizer(**folder, store, synchronizing);
  std::vector<sync::ModelOutcome> outcomes;
  {
    ProgressDisplay display(synchronizer);
    outcomes = synchronizer.Run(*subnet, stop_on_signal.token(), options.models,
                                [&](const sync::ModelOutcome& outcome) {
                                  if (!options.json) display.Say(sync::ToText(outcome));
                                });
  }
  bool failed = false;
  nlohmann::json list = nlohmann::json::array();
  for (const sync::ModelOutcome& outcome : outcomes) {
    failed |= outcome.kind == sync::ModelOutcome::Kind::kFailed;
    list.push_back(ToJson(outcome));
  }
  if (options.json) {
    std::printf("%s\n", list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::printf("subnet %u version %llu: %zu models, %s\n", subnet->subnet_id,
                static_cast<unsigned long long>(subnet->version), outcomes.size(),
                failed ? "some of which failed; see above" : "all in order");
  }
  return failed ? 1 : 0;
}

}  // namespace

void AddModelsPull(CLI::App& models, Chosen& chosen) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = models.add_subcommand(
      "pull", "Fetch a subnet's models now, verified; without a running node, too");
  command->add_option("models", options->models, "Only these; all of the subnet's otherwise");
  config::AddSyncOptions(*command, options->sync);
  command->add_option("--tls-ca-file", options->tls_ca_file,
                      "Certificates to trust for https://, instead of the system's");
  command->add_flag("--json", options->json, "What became of each, as a JSON array");
  command->callback([&chosen, options] { chosen.run = [options] { return Pull(*options); }; });
}

}  // namespace ncn::apps
