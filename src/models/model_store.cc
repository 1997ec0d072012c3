#include "models/model_store.h"

#include <atomic>
#include <mutex>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "models/catalogue.h"
#include "models/file_index.h"
#include "models/store_folders.h"
#include "models/store_watcher.h"
#include "models/verified_models.h"

namespace ncn::models {
namespace {

absl::Status NotFound(const std::filesystem::path& folder, const inference::ModelId& id) {
  const std::string file = id.value() + "_model.pt";
  return absl::NotFoundError(
      base::StrCat("Model ", file, " not found at ", (folder / file).native()));
}

// Those who want to hear of changes.
class Audience {
 public:
  void Tell(const std::vector<ModelChange>& changes) {
    std::lock_guard lock(mutex_);
    for (const auto& [number, on_change] : listeners_) on_change(changes);
  }
  int Add(ModelStore::OnChange on_change) {
    std::lock_guard lock(mutex_);
    listeners_.emplace(++last_, std::move(on_change));
    return last_;
  }
  void Remove(int number) {
    std::lock_guard lock(mutex_);
    listeners_.erase(number);
  }

 private:
  std::mutex mutex_;
  std::map<int, ModelStore::OnChange> listeners_;
  int last_ = 0;
};

class Listener final : public ModelStore::Subscription {
 public:
  Listener(Audience& audience, ModelStore::OnChange on_change)
      : audience_(audience), number_(audience.Add(std::move(on_change))) {}
  ~Listener() override { audience_.Remove(number_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  Audience& audience_;
  const int number_;
};

}  // namespace

struct ModelStore::State {
  explicit State(Options options)
      : folders(std::move(options.folders)), index(std::move(options.index)) {}

  const StoreFolders folders;
  FileIndex index;
  VerifiedModels models{index};
  Catalogue catalogue{folders, models, index};
  Audience audience;
  std::atomic<bool> watched = false;
  std::unique_ptr<StoreWatcher> watcher;  // Last: its thread uses the rest.
};

ModelStore::ModelStore(Options options) : state_(std::make_unique<State>(std::move(options))) {}
ModelStore::ModelStore(std::filesystem::path folder)
    : ModelStore(Options{.folders = {std::move(folder)}}) {}
ModelStore::~ModelStore() = default;

const std::vector<std::filesystem::path>& ModelStore::folders() const {
  return state_->folders.paths();
}

std::shared_ptr<const Listing> ModelStore::Look() const {
  if (!state_->watched) state_->catalogue.LookAtAll();
  return state_->catalogue.listing();
}

std::vector<inference::ModelId> ModelStore::List() const {
  const std::shared_ptr<const Listing> listing = Look();
  std::vector<inference::ModelId> ids;
  ids.reserve(listing->usable.size());
  for (const auto& [name, model] : listing->usable) ids.push_back(model->id);
  return ids;
}

std::vector<std::shared_ptr<const Model>> ModelStore::Models() const {
  const std::shared_ptr<const Listing> listing = Look();
  std::vector<std::shared_ptr<const Model>> models;
  models.reserve(listing->usable.size());
  for (const auto& [name, model] : listing->usable) models.push_back(model);
  return models;
}

std::map<std::string, absl::Status> ModelStore::Problems() const { return Look()->problems; }

absl::StatusOr<std::shared_ptr<const Model>> ModelStore::Find(const inference::ModelId& id) const {
  std::map<std::size_t, absl::Status> problems;
  const std::map<std::size_t, FolderFd> opened = state_->folders.Open(problems);
  const std::set<EntryPlace> entries = state_->folders.EntriesOf(opened, id);
  if (entries.empty()) {
    for (const auto& [index, why] : problems) {
      if (!absl::IsNotFound(why)) return why;
    }
    return NotFound(folders().front(), id);
  }
  const Found found = state_->catalogue.Look(id, opened, entries);
  if (found.ok()) return state_->models.Lend(*found);
  return absl::IsNotFound(found.status()) ? NotFound(folders().front(), id) : found;
}

absl::StatusOr<base::UniqueFd> ModelStore::Open(const Model& model) const {
  ASSIGN_OR_RETURN(const FolderFd folder, FolderFd::Open(model.root.parent_path()));
  const std::string path =
      model.is_folder ? base::StrCat(model.root.filename().native(), "/", model.relative_file)
                      : model.relative_file;
  ASSIGN_OR_RETURN(FolderFd::File file, folder.OpenFile(path));
  if (file.identity == model.identity) return std::move(file.fd);
  return absl::AbortedError(
      base::StrCat(path, ": changed since it was verified; look the model up again"));
}

void ModelStore::Learn(const FileIdentity& identity, const std::string& sha256) {
  state_->index.Learn(identity, sha256);
}

bool ModelStore::InUse(std::string_view tree_sha256) const {
  return state_->models.InUse(tree_sha256);
}

void ModelStore::Watch() {
  state_->watcher = std::make_unique<StoreWatcher>(
      state_->folders, state_->catalogue,
      [state = state_.get()](const std::vector<ModelChange>& changes) {
        state->audience.Tell(changes);
      });
  state_->watched = true;
}

std::unique_ptr<ModelStore::Subscription> ModelStore::Subscribe(OnChange on_change) {
  return std::make_unique<Listener>(state_->audience, std::move(on_change));
}

}  // namespace ncn::models
