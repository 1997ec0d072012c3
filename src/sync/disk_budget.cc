#include "sync/disk_budget.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/status_macros.h"
#include "base/strings.h"
#include "sync/progress_text.h"

namespace ncn::sync {
namespace {

std::int64_t Now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::StatusOr<std::uint64_t> BytesIn(const ModelsFolder& folder) {
  ASSIGN_OR_RETURN(const std::vector<RetiredModel> retired, folder.Retired());
  ASSIGN_OR_RETURN(const std::vector<InstalledModel> installed, folder.Installed());
  std::uint64_t bytes = 0;
  for (const InstalledModel& model : installed) bytes += model.size_bytes;
  for (const RetiredModel& model : retired) bytes += model.was.size_bytes;
  return bytes;
}

}  // namespace

absl::StatusOr<std::uint64_t> DiskBudget::CollectGarbage(std::uint64_t needed_bytes, bool dry_run,
                                                         const std::set<std::string>& wanted) {
  ASSIGN_OR_RETURN(const std::vector<RetiredModel> retired, folder_.Retired());
  ASSIGN_OR_RETURN(const std::uint64_t taken, BytesIn(folder_));
  std::error_code error;
  std::uint64_t room = std::filesystem::space(folder_.path(), error).available;
  // What is in the making has its room already.
  if (needed_bytes > 0) room += SizeOnDisk(folder_.staging());
  std::uint64_t freed = 0;
  const auto suffices = [&] {
    return taken + needed_bytes - freed <= limits_.budget_bytes &&
           (error || room + freed >= limits_.reserve_bytes + needed_bytes);
  };
  for (const RetiredModel& old : retired) {
    if (limits_.budget_bytes > 0 && suffices()) break;
    const bool young = Now() - old.retired_seconds < limits_.retired_min.count();
    if (young || wanted.contains(old.was.content_id) || store_.InUse(old.was.tree_sha256)) continue;
    if (!dry_run) RETURN_IF_ERROR(folder_.Delete(old));
    freed += old.was.size_bytes;
  }
  return freed;
}

absl::StatusOr<std::uint64_t> DiskBudget::Affordable(
    const std::vector<std::uint64_t>& sizes) const {
  ASSIGN_OR_RETURN(const std::vector<InstalledModel> installed, folder_.Installed());
  std::uint64_t kept = 0;
  for (const InstalledModel& model : installed) kept += model.size_bytes;
  std::uint64_t bytes = 0;
  for (const std::uint64_t size : sizes) {
    const bool fits = limits_.budget_bytes == 0 || kept + bytes + size <= limits_.budget_bytes;
    bytes += fits ? size : 0;
  }
  return bytes;
}

absl::Status DiskBudget::Open() {
  ASSIGN_OR_RETURN(const std::uint64_t taken, BytesIn(folder_));
  std::lock_guard lock(mutex_);
  taken_bytes_ = taken;
  return absl::OkStatus();
}

absl::Status DiskBudget::Take(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const std::uint64_t budget = limits_.budget_bytes;
  if (budget == 0 || taken_bytes_ + bytes <= budget) {
    taken_bytes_ += bytes;
    return absl::OkStatus();
  }
  const std::uint64_t left = budget - std::min(budget, taken_bytes_);
  return absl::ResourceExhaustedError(base::StrCat(
      "needs ", BytesText(bytes), " of disk; ", BytesText(left), " of the ", BytesText(budget),
      " of --models-disk-budget are left; raise it, or name the "
      "models to keep to `ncn models pull`"));
}

}  // namespace ncn::sync
