#include "models/verified_models.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::models {
namespace {

absl::StatusOr<std::vector<TreeFile>> TreeOf(const FolderFd& folder, const Entry& entry) {
  if (entry.kind != EntryKind::kFolder) {
    // What is no regular file is refused when it is opened.
    return std::vector<TreeFile>{{entry.name, entry.identity}};
  }
  ASSIGN_OR_RETURN(const FolderFd below, folder.OpenFolder(entry.name));
  absl::StatusOr<std::vector<TreeFile>> tree = below.Tree();
  if (tree.ok()) return tree;
  return absl::Status(tree.status().code(), base::StrCat(entry.name, "/", tree.status().message()));
}

}  // namespace

bool IsVerdict(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsDataLoss(status) ||
         absl::IsFailedPrecondition(status);
}

Found VerifiedModels::Get(const FolderFd& folder, const Place& place) {
  ASSIGN_OR_RETURN(const Entry entry, folder.Look(place.entry));
  ASSIGN_OR_RETURN(const std::vector<TreeFile> tree, TreeOf(folder, entry));
  if (const std::optional<Found> known = Recall(place, tree)) return *known;
  // One load at a time: who waits for the same model finds it remembered.
  std::lock_guard lock(loading_);
  if (const std::optional<Found> known = Recall(place, tree)) return *known;
  absl::StatusOr<Model> model = entry.kind == EntryKind::kFolder
                                    ? LoadFolder(folder, place, tree, index_)
                                    : LoadFile(folder, place, tree, index_);
  Found found =
      model.ok() ? Found(std::make_shared<const Model>(*std::move(model))) : Found(model.status());
  const bool settled = std::all_of(tree.begin(), tree.end(),
                                   [](const TreeFile& file) { return IsSettled(file.identity); });
  // Files that are still being written, and errors of the machine, say nothing about later.
  if (settled && (found.ok() || IsVerdict(found.status()))) {
    known_.With([&](auto& known) { known.insert_or_assign(place.root, Known{tree, found, {}}); });
  }
  return found;
}

std::optional<Found> VerifiedModels::Recall(const Place& place,
                                            const std::vector<TreeFile>& tree) const {
  return known_.With([&](const auto& known) -> std::optional<Found> {
    const auto found = known.find(place.root);
    if (found == known.end() || found->second.tree != tree) return std::nullopt;
    return found->second.found;
  });
}

std::shared_ptr<const Model> VerifiedModels::Lend(const std::shared_ptr<const Model>& model) {
  const auto lend = [&] {
    auto copy = std::make_shared<Model>(*model);
    copy->lease = LeaseOf(model->tree_sha256);
    return std::shared_ptr<const Model>(std::move(copy));
  };
  return known_.With([&](auto& known) {
    const auto found = known.find(model->root);
    // One that is not settled is nobody else's.
    if (found == known.end() || !found->second.found.ok() || *found->second.found != model) {
      return lend();
    }
    std::shared_ptr<const Model> lent = found->second.lent.lock();
    if (lent == nullptr) found->second.lent = lent = lend();
    return lent;
  });
}

std::shared_ptr<const void> VerifiedModels::LeaseOf(const std::string& tree_sha256) {
  return leases_.With([&](Leases& leases) {
    if (leases.by_tree.size() >= leases.sweep_at) {
      std::erase_if(leases.by_tree, [](const auto& lease) { return lease.second.expired(); });
      leases.sweep_at = 2 * leases.by_tree.size() + 64;
    }
    std::weak_ptr<const void>& known = leases.by_tree[tree_sha256];
    std::shared_ptr<const void> lease = known.lock();
    if (lease == nullptr) known = lease = std::make_shared<const char>();
    return lease;
  });
}

bool VerifiedModels::InUse(std::string_view tree_sha256) const {
  return leases_.With([&](const Leases& leases) {
    const auto lease = leases.by_tree.find(tree_sha256);
    return lease != leases.by_tree.end() && !lease->second.expired();
  });
}

void VerifiedModels::ForgetAllBut(const std::set<std::filesystem::path>& roots) {
  known_.With([&](auto& known) {
    std::erase_if(known, [&](const auto& item) { return !roots.contains(item.first); });
  });
}

}  // namespace ncn::models
