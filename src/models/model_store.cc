#include "models/model_store.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "base/synchronized.h"
#include "models/model_loader.h"

namespace ncn::models {
namespace {

using Found = absl::StatusOr<std::shared_ptr<const Model>>;

absl::Status NotFound(const std::filesystem::path& folder, const inference::ModelId& id) {
  const std::string file = id.value() + "_model.pt";
  return absl::NotFoundError(
      base::StrCat("Model ", file, " not found at ", (folder / file).native()));
}

std::filesystem::path Absolute(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal();
}

// Whether a folder is a model: with a manifest or a model file in it. One that cannot be read is
// taken for one, so that somebody hears of it.
bool IsModelFolder(const FolderFd& store, const std::string& name) {
  const absl::StatusOr<FolderFd> folder = store.OpenFolder(name);
  if (!folder.ok()) return true;
  const absl::StatusOr<std::vector<Entry>> entries = folder->List();
  return !entries.ok() || std::any_of(entries->begin(), entries->end(), [](const Entry& entry) {
    return entry.name == kManifestFileName || !ModelNameOf(entry.name).empty();
  });
}

// The name of the model that an entry of the store is; empty when it is none.
std::string NameOfEntry(const FolderFd& store, const Entry& entry) {
  if (entry.kind == EntryKind::kFolder) return IsModelFolder(store, entry.name) ? entry.name : "";
  const std::string_view name = ModelNameOf(entry.name);
  // A link may be meant for a folder. None is followed, but the operator shall hear of it.
  return std::string(name.empty() && entry.kind == EntryKind::kSymlink ? entry.name : name);
}

// Whether an error is about the files themselves, and stands as long as they do.
bool IsVerdict(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsDataLoss(status) ||
         absl::IsFailedPrecondition(status);
}

// The entries that may be the model `id`, without listing the store.
std::vector<std::string> EntriesOf(const FolderFd& store, const inference::ModelId& id) {
  std::vector<std::string> names = {id.value()};
  for (const std::string_view extension : kModelFileExtensions) {
    names.push_back(base::StrCat(id.value(), extension));
    names.push_back(base::StrCat(id.value(), "_model", extension));
  }
  std::erase_if(names, [&](const std::string& name) {
    const absl::StatusOr<Entry> entry = store.Look(name);
    return !entry.ok() || NameOfEntry(store, *entry) != id.value();
  });
  return names;
}

}  // namespace

// What is known of each model, with the identities of all files that it was learnt from.
class ModelStore::Cache {
 public:
  Found Get(const FolderFd& store, const Place& place) {
    ASSIGN_OR_RETURN(const Entry entry, store.Look(place.entry));
    const bool is_folder = entry.kind == EntryKind::kFolder;
    ASSIGN_OR_RETURN(const std::vector<TreeFile> tree, TreeOf(store, place.entry, is_folder));
    if (const std::optional<Found> known = Recall(place, tree)) return *known;
    // One load at a time: who waits for the same model finds it remembered.
    std::lock_guard lock(loading_);
    if (const std::optional<Found> known = Recall(place, tree)) return *known;
    absl::StatusOr<Model> model =
        is_folder ? LoadFolder(store, place, tree, hashes_) : LoadFile(store, place, hashes_);
    Found found = model.ok() ? Found(std::make_shared<const Model>(*std::move(model)))
                             : Found(model.status());
    const bool settled = std::all_of(tree.begin(), tree.end(),
                                     [](const TreeFile& file) { return IsSettled(file.identity); });
    // Files that are still being written, and errors of the machine, say nothing about later.
    if (settled && (found.ok() || IsVerdict(found.status()))) {
      known_.With([&](auto& known) { known.insert_or_assign(place.entry, Known{tree, found}); });
    }
    return found;
  }

  void ForgetAllBut(const std::set<std::string>& entries) {
    known_.With([&](auto& known) {
      std::erase_if(known, [&](const auto& item) { return !entries.contains(item.first); });
    });
  }

 private:
  struct Known {
    std::vector<TreeFile> tree;
    Found found;
  };

  static absl::StatusOr<std::vector<TreeFile>> TreeOf(const FolderFd& store,
                                                      const std::string& entry, bool is_folder) {
    if (!is_folder) {
      ASSIGN_OR_RETURN(const FolderFd::File file, store.OpenFile(entry));
      return std::vector<TreeFile>{{entry, file.identity}};
    }
    ASSIGN_OR_RETURN(const FolderFd folder, store.OpenFolder(entry));
    absl::StatusOr<std::vector<TreeFile>> tree = folder.Tree();
    if (tree.ok()) return tree;
    return absl::Status(tree.status().code(), base::StrCat(entry, "/", tree.status().message()));
  }

  std::optional<Found> Recall(const Place& place, const std::vector<TreeFile>& tree) const {
    return known_.With([&](const auto& known) -> std::optional<Found> {
      const auto found = known.find(place.entry);
      if (found == known.end() || found->second.tree != tree) return std::nullopt;
      return found->second.found;
    });
  }

  std::mutex loading_;
  FileHashes hashes_;
  base::Synchronized<std::map<std::string, Known>> known_;
};

struct ModelStore::Listing {
  std::vector<inference::ModelId> usable;
  std::map<std::string, absl::Status> problems;
};

ModelStore::ModelStore(std::filesystem::path folder)
    : folder_(std::move(folder)), cache_(std::make_unique<Cache>()) {}
ModelStore::~ModelStore() = default;

std::vector<inference::ModelId> ModelStore::List() const { return Scan().usable; }
std::map<std::string, absl::Status> ModelStore::Problems() const { return Scan().problems; }

ModelStore::Listing ModelStore::Scan() const {
  Listing listing;
  const absl::StatusOr<FolderFd> folder = FolderFd::Open(folder_);
  const absl::StatusOr<std::vector<Entry>> entries =
      folder.ok() ? folder->List() : absl::StatusOr<std::vector<Entry>>(folder.status());
  if (!entries.ok()) {
    listing.problems.emplace(
        folder_.native(),
        absl::Status(entries.status().code(),
                     base::StrCat("the model folder cannot be read: ", entries.status().message(),
                                  "; create it or set --model-path")));
    return listing;
  }
  std::map<std::string, std::vector<std::string>> entries_by_name;
  std::set<std::string> names;
  for (const Entry& entry : *entries) {
    const std::string name = NameOfEntry(*folder, entry);
    if (name.empty()) continue;
    entries_by_name[name].push_back(entry.name);
    names.insert(entry.name);
  }
  cache_->ForgetAllBut(names);
  for (const auto& [name, candidates] : entries_by_name) {
    const absl::StatusOr<inference::ModelId> id = inference::ModelId::Parse(name);
    const Found found =
        id.ok()
            ? Look(*id, *folder, candidates)
            : Found(absl::InvalidArgumentError(base::StrCat(
                  candidates.front(), ": names no model: ", id.status().message(), "; rename it")));
    if (found.ok()) {
      listing.usable.push_back(*id);
    } else if (!absl::IsNotFound(found.status())) {  // Removed meanwhile.
      listing.problems.emplace(candidates.front(), found.status());
    }
  }
  return listing;
}

absl::StatusOr<std::shared_ptr<const Model>> ModelStore::Look(
    const inference::ModelId& id, const FolderFd& folder,
    const std::vector<std::string>& entries) const {
  if (entries.empty()) return NotFound(folder_, id);
  if (entries.size() > 1) {
    return absl::FailedPreconditionError(
        base::StrCat("model ", id.value(), " is there more than once in ", folder_.native(), ": ",
                     entries[0], " and ", entries[1], "; rename or remove one"));
  }
  Found found =
      cache_->Get(folder, {.id = id, .entry = entries[0], .root = Absolute(folder_ / entries[0])});
  return absl::IsNotFound(found.status()) ? NotFound(folder_, id) : found;
}

absl::StatusOr<std::shared_ptr<const Model>> ModelStore::Find(const inference::ModelId& id) const {
  const absl::StatusOr<FolderFd> folder = FolderFd::Open(folder_);
  if (absl::IsNotFound(folder.status())) return NotFound(folder_, id);
  RETURN_IF_ERROR(folder.status());
  return Look(id, *folder, EntriesOf(*folder, id));
}

void ModelStore::Learn(const FileIdentity&, const std::string&) {}
bool ModelStore::InUse(const std::string&) const { return false; }

absl::StatusOr<base::UniqueFd> ModelStore::Open(const Model& model) const {
  ASSIGN_OR_RETURN(const FolderFd folder, FolderFd::Open(folder_));
  const std::string path =
      model.is_folder ? base::StrCat(model.root.filename().native(), "/", model.relative_file)
                      : model.relative_file;
  ASSIGN_OR_RETURN(FolderFd::File file, folder.OpenFile(path));
  if (file.identity == model.identity) return std::move(file.fd);
  return absl::AbortedError(
      base::StrCat(path, ": changed since it was verified; look the model up again"));
}

}  // namespace ncn::models
