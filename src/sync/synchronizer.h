#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/subnet.h"
#include "models/model_store.h"
#include "sync/disk_budget.h"
#include "sync/model_outcome.h"
#include "sync/models_folder.h"
#include "transfer/archive.h"
#include "transfer/downloader.h"

namespace ncn::sync {

struct SynchronizerOptions {
  transfer::DownloaderOptions download;  // `staging` is the folder's.
  transfer::UnpackLimits unpack;         // The reserve is that of downloads.
  std::size_t models_at_once = 4;
  std::uint64_t memory_bytes = 0;       // Models that need more are skipped; 0: none are.
  std::uint64_t disk_budget_bytes = 0;  // For all that was synchronised, old versions too; 0: free.
  // Old versions that this process does not use are kept at least so long, for another may.
  std::chrono::seconds retired_min{300};
};

// Makes a folder hold what a subnet wants: compares, fetches what is missing, verifies, unpacks,
// puts in place, takes away what is no longer wanted, deletes old versions.
//
// A model that fails does not hold up the others. One whose files are what the subnet says and yet
// no such model fails in each further pass without being fetched again, until the subnet changes
// it. One for which the budget has no room is not begun. Nothing becomes visible before all its
// files are there, of the right hash, and the model store takes it for a model of the right format.
// Files that the folder has already, in an old version, are not fetched again. Nothing that was not
// synchronised is replaced or deleted.
class Synchronizer {
 public:
  // Both outlive this. `store` serves the folder's models; it says which versions are in use.
  Synchronizer(ModelsFolder& folder, models::ModelStore& store, SynchronizerOptions options);

  // One pass. The outcomes are in the subnet's order, removals, which come first, at the end. With
  // `only`, which is not empty, other models are neither fetched nor removed; names that the subnet
  // does not have fail. `on_outcome` hears of each as it is known, from any thread, one at a time.
  // One pass at a time.
  std::vector<ModelOutcome> Run(const inference::Subnet& subnet, std::stop_token stop = {},
                                const std::vector<std::string>& only = {},
                                const std::function<void(const ModelOutcome&)>& on_outcome = {});

  // As of DiskBudget, with nothing to spare.
  absl::StatusOr<std::uint64_t> CollectGarbage(bool dry_run = false) {
    return budget_.CollectGarbage(0, dry_run);
  }

  // How far the downloads of the pass have come; names are MODEL/FILE. Empty between passes.
  // Thread-safe.
  transfer::TransferProgress Progress() const;
  // Of all passes. Thread-safe.
  transfer::TransferCounts counts() const { return downloader_.counts(); }

 private:
  struct Task;
  class Pass;

  const SynchronizerOptions options_;
  ModelsFolder& folder_;
  models::ModelStore& store_;
  transfer::Downloader downloader_;
  DiskBudget budget_;
  // What was learned of a content, by its ContentId. Of the pass.
  struct Known {
    absl::Status refusal;              // Why its files, which were right, are no model.
    std::uint64_t unpacked_bytes = 0;  // What its archives come to, with all else; 0: not known.
  };
  std::map<std::string, Known> known_;
  mutable std::mutex mutex_;
  std::vector<const Task*> tasks_;  // Of the pass. Not owned.
};

}  // namespace ncn::sync
