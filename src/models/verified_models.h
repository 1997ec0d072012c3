#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/synchronized.h"
#include "models/file_index.h"
#include "models/model_loader.h"
#include "models/model_store.h"

namespace ncn::models {

using Found = absl::StatusOr<std::shared_ptr<const Model>>;

// Whether an error is about the files themselves, and stands as long as they do.
bool IsVerdict(const absl::Status& status);

// What is known of each model, with the identities of all files that it was learnt from; and who
// uses which version. Thread-safe.
class VerifiedModels {
 public:
  // `index` outlives this.
  explicit VerifiedModels(FileIndex& index) : index_(index) {}

  // The model at `place`, as it is now: recalled when no file of it has changed, loaded otherwise,
  // one at a time. Without a lease. Errors as of ModelStore::Find.
  Found Get(const FolderFd& folder, const Place& place);
  // The same model with a lease. As long as somebody has it, everybody gets the same one.
  std::shared_ptr<const Model> Lend(const std::shared_ptr<const Model>& model);
  bool InUse(std::string_view tree_sha256) const;
  // Forgets what is at none of these places.
  void ForgetAllBut(const std::set<std::filesystem::path>& roots);

 private:
  struct Known {
    std::vector<TreeFile> tree;
    Found found;
    std::weak_ptr<const Model> lent;
  };

  std::optional<Found> Recall(const Place& place, const std::vector<TreeFile>& tree) const;
  // The lease of a version, which all of its copies share.
  std::shared_ptr<const void> LeaseOf(const std::string& tree_sha256);

  FileIndex& index_;
  std::mutex loading_;
  base::Synchronized<std::map<std::filesystem::path, Known>> known_;  // By root.
  struct Leases {
    std::map<std::string, std::weak_ptr<const void>, std::less<>> by_tree;
    std::size_t sweep_at = 64;
  };
  base::Synchronized<Leases> leases_;
};

}  // namespace ncn::models
