#include <sys/ioctl.h>
#include <unistd.h>

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
      : synchronizer_(synchronizer),
        is_terminal_(::isatty(STDERR_FILENO) == 1),
        thread_([this](std::stop_token stop) { Run(stop); }) {}
  ~ProgressDisplay() {
    thread_.request_stop();
    thread_.join();
    Erase();
  }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  // Prints a line above the bars.
  void Say(const std::string& line) {
    std::lock_guard lock(mutex_);
    Erase();
    std::fprintf(stderr, "%s\n", line.c_str());
  }

 private:
  void Run(const std::stop_token& stop) {
    using std::chrono::milliseconds;
    const milliseconds pause = is_terminal_ ? milliseconds(200) : milliseconds(5000);
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, stop, pause, [&] { return stop.stop_requested(); })) {
      if (stop.stop_requested()) return;
      Draw(synchronizer_.Progress());
    }
  }

  void Draw(const transfer::TransferProgress& progress) {
    if (progress.total.size_bytes == 0) return;
    if (!is_terminal_) {
      std::fprintf(stderr, "%s\n", sync::ProgressLine(progress.total).c_str());
      return;
    }
    winsize size{};
    ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    const std::size_t width = size.ws_col > 0 ? size.ws_col : 80;
    Erase();
    const auto lines = sync::ProgressBars(progress, width - 1, 6);
    for (const std::string& line : lines) std::fprintf(stderr, "%s\n", line.c_str());
    drawn_ = lines.size();
  }

  // Takes back what Draw drew.
  void Erase() {
    if (drawn_ > 0) std::fprintf(stderr, "\033[%zuA\033[J", drawn_);
    drawn_ = 0;
  }

  const sync::Synchronizer& synchronizer_;
  const bool is_terminal_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::size_t drawn_ = 0;
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
