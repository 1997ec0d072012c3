#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/model_store.h"
#include "registry/registry_client.h"
#include "registry/subnet_directory.h"
#include "sync/synchronizer.h"

namespace ncn::sync {

using Registries = std::vector<std::unique_ptr<registry::RegistryClient>>;

// Which subnet a folder follows.
struct Following {
  std::uint32_t subnet_id = 1;
  std::string
      owner_address;  // Of the only owner that is believed; empty: see registry::SubnetTrust.
};

// Asks the registries for the subnet, holds the answer against what was accepted before, and notes
// it as accepted. Errors as of registry::FindSubnet. `on_problem` hears of each registry whose
// answer does not count.
absl::StatusOr<inference::Subnet> AcceptSubnet(
    ModelsFolder& folder, const Registries& registries, const Following& following,
    std::stop_token stop,
    const std::function<void(const registry::RegistryProblem&)>& on_problem = {});

// What was done since the service exists.
struct SyncCounts {
  std::uint64_t passes = 0;
  std::uint64_t failed_passes = 0;     // That did not take place.
  std::uint64_t installed_models = 0;  // Old versions that came back, too.
  std::uint64_t failed_models = 0;     // Once for each pass in which one failed.
  transfer::TransferCounts transfer;
};

struct SyncState {
  bool running = false;                 // A pass is under way.
  std::uint64_t subnet_version = 0;     // Accepted last; 0: none yet.
  std::int64_t finished_seconds = 0;    // Unix time of the end of the last pass; 0: none yet.
  std::string last_error;               // Why the last pass did not take place; empty if it did.
  std::chrono::milliseconds pause{0};   // From the end of the last pass to the next, unless asked.
  std::vector<ModelOutcome> outcomes;   // Of the last pass.
  transfer::TransferProgress progress;  // Of the one under way.
  SyncCounts counts;
};

// How long nothing is done after a pass, the `failures`th in a row in which something failed:
// `interval` after none; otherwise `retry`, doubled with each further one, up to `interval`.
std::chrono::milliseconds PauseAfter(std::size_t failures, std::chrono::milliseconds retry,
                                     std::chrono::milliseconds interval);

struct SyncServiceOptions {
  std::filesystem::path folder;
  Following following;
  std::chrono::milliseconds interval{std::chrono::minutes(5)};
  std::chrono::milliseconds retry{std::chrono::seconds(15)};         // See PauseAfter.
  std::chrono::milliseconds report_every{std::chrono::seconds(10)};  // A line, in a log.
  std::chrono::milliseconds draw_every{200};                         // Bars, on a terminal.
  SynchronizerOptions synchronizer;
  // Hears of the end of each pass that took place, on the service's thread. May be empty.
  std::function<void(const std::vector<ModelOutcome>&)> on_pass;
};

// Keeps a folder as its subnet wants it for as long as it exists: a pass at once, then in intervals
// and whenever it is asked to; sooner after a pass in which something failed, less so with each
// further one until the subnet changes. Logs what happens; shows how far downloads have come,
// as bars on a terminal and as lines in a log. Thread-safe; one
// thread of its own, and one that reports.
class SyncService {
 public:
  // `registries` and `store` outlive this.
  SyncService(const Registries& registries, models::ModelStore& store, SyncServiceOptions options);
  // Ends a pass that is under way; what it fetched is kept.
  ~SyncService();
  SyncService(const SyncService&) = delete;
  SyncService& operator=(const SyncService&) = delete;

  // Does a pass soon, after the one under way if there is one.
  void RunSoon();

  SyncState state() const;

 private:
  void Run(std::stop_token stop);
  void Report(std::stop_token stop);
  absl::Status OnePass(std::stop_token stop);
  bool AnyFailed() const;

  const Registries& registries_;
  models::ModelStore& store_;
  const SyncServiceOptions options_;
  std::unique_ptr<transfer::ChunkSource> chunks_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool asked_ = false;
  SyncState state_;
  std::unique_ptr<ModelsFolder> folder_;        // Once nobody else holds it. Of the thread.
  std::unique_ptr<Synchronizer> synchronizer_;  // Made with it; set under the mutex.
  std::jthread reporter_;
  std::jthread thread_;  // Last: it uses all else.
};

}  // namespace ncn::sync
