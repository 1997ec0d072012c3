#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/model_store.h"
#include "sync/models_folder.h"

namespace ncn::sync {

struct DiskLimits {
  std::uint64_t budget_bytes = 0;   // For all that was synchronised, old versions too; 0: free.
  std::uint64_t reserve_bytes = 0;  // Of the disk, stay free.
  // Old versions that this process does not use are kept at least so long, for another may.
  std::chrono::seconds retired_min{300};
};

// How much of the disk synchronised models may take up, and which old versions make room for new
// ones. Thread-safe.
class DiskBudget {
 public:
  // Both outlive this. `store` says which versions are in use.
  DiskBudget(ModelsFolder& folder, const models::ModelStore& store, const DiskLimits& limits)
      : folder_(folder), store_(store), limits_(limits) {}

  // Deletes old versions that nobody uses: all, or with a budget the oldest until it and the
  // reserve are kept with `needed_bytes` to spare. Not those whose content is among `wanted`.
  // Returns the bytes that this frees; `dry_run` deletes nothing.
  absl::StatusOr<std::uint64_t> CollectGarbage(std::uint64_t needed_bytes, bool dry_run,
                                               const std::set<std::string>& wanted = {});

  // Of models of these `sizes`, the bytes of those that the budget has room for, in their order, if
  // every old version went.
  absl::StatusOr<std::uint64_t> Affordable(const std::vector<std::uint64_t>& sizes) const;

  // Begins an account: what is in the folder counts as taken.
  absl::Status Open();
  // ResourceExhausted, with the numbers, when the budget has no such room left; then nothing is
  // taken.
  absl::Status Take(std::uint64_t bytes);

 private:
  ModelsFolder& folder_;
  const models::ModelStore& store_;
  const DiskLimits limits_;
  std::mutex mutex_;
  std::uint64_t taken_bytes_ = 0;
};

}  // namespace ncn::sync
