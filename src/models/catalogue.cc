#include "models/catalogue.h"

#include <utility>

#include "base/strings.h"

namespace ncn::models {
namespace {

absl::Status Unreadable(const absl::Status& why) {
  return absl::Status(why.code(), base::StrCat("the model folder cannot be read: ", why.message(),
                                               "; create it, or set --model-path or --models-dir"));
}

Found LookByName(const Catalogue& catalogue, const std::string& name,
                 const std::map<std::size_t, FolderFd>& opened,
                 const std::set<EntryPlace>& entries) {
  const absl::StatusOr<inference::ModelId> id = inference::ModelId::Parse(name);
  if (id.ok()) return catalogue.Look(*id, opened, entries);
  return absl::InvalidArgumentError(base::StrCat(
      entries.begin()->entry, ": names no model: ", id.status().message(), "; rename it"));
}

}  // namespace

std::vector<ModelChange> ChangesBetween(const Listing& before, const Listing& now) {
  using Kind = ModelChange::Kind;
  std::vector<ModelChange> changes;
  for (const auto& [name, model] : before.usable) {
    const auto found = now.usable.find(name);
    if (found == now.usable.end()) {
      changes.push_back({Kind::kRemoved, model->id});
    } else if (found->second->tree_sha256 != model->tree_sha256 ||
               found->second->root != model->root) {
      changes.push_back({Kind::kReplaced, model->id});
    }
  }
  for (const auto& [name, model] : now.usable) {
    if (!before.usable.contains(name)) changes.push_back({Kind::kAdded, model->id});
  }
  return changes;
}

Found Catalogue::Look(const inference::ModelId& id, const std::map<std::size_t, FolderFd>& opened,
                      const std::set<EntryPlace>& entries) const {
  const EntryPlace& place = *entries.begin();
  if (entries.size() > 1) {
    return absl::FailedPreconditionError(base::StrCat(
        "model ", id.value(), " is there more than once: ", folders_.PathOf(place).native(),
        " and ", folders_.PathOf(*std::next(entries.begin())).native(), "; rename or remove one"));
  }
  const auto folder = opened.find(place.folder);
  if (folder == opened.end()) return absl::NotFoundError("the folder is gone");
  return models_.Get(folder->second,
                     {.id = id, .entry = place.entry, .root = folders_.AbsolutePathOf(place)});
}

void Catalogue::SetName(const EntryPlace& place, const std::string& name) {
  if (const auto known = name_of_.find(place); known != name_of_.end()) {
    const auto entries = entries_of_.find(known->second);
    entries->second.erase(place);
    if (entries->second.empty()) entries_of_.erase(entries);
    name_of_.erase(known);
  }
  if (name.empty()) return;
  name_of_.emplace(place, name);
  entries_of_[name].insert(place);
}

void Catalogue::LookUp(const std::string& name, const std::map<std::size_t, FolderFd>& opened) {
  const auto entries = entries_of_.find(name);
  if (entries == entries_of_.end()) {
    found_.erase(name);
    return;
  }
  found_.insert_or_assign(name, LookByName(*this, name, opened, entries->second));
}

void Catalogue::LookAtAll() {
  std::lock_guard lock(looking_);
  name_of_.clear();
  entries_of_.clear();
  found_.clear();
  unreadable_.clear();
  const std::map<std::size_t, FolderFd> opened = folders_.Open(unreadable_);
  std::set<std::filesystem::path> roots;
  for (const auto& [index, folder] : opened) {
    const absl::StatusOr<std::vector<Entry>> entries = folder.List();
    if (!entries.ok()) {
      unreadable_.emplace(index, entries.status());
      continue;
    }
    for (const Entry& entry : *entries) {
      const EntryPlace place{index, entry.name};
      SetName(place, folders_.NameOf(index, folder, entry));
      roots.insert(folders_.AbsolutePathOf(place));
    }
  }
  models_.ForgetAllBut(roots);
  for (const auto& [name, entries] : entries_of_) LookUp(name, opened);
  Publish();
}

void Catalogue::LookAt(const std::set<EntryPlace>& entries) {
  std::lock_guard lock(looking_);
  unreadable_.clear();
  const std::map<std::size_t, FolderFd> opened = folders_.Open(unreadable_);
  std::set<std::string> names;
  for (const EntryPlace& place : entries) {
    if (const auto known = name_of_.find(place); known != name_of_.end()) {
      names.insert(known->second);
    }
    std::string name;
    if (const auto folder = opened.find(place.folder); folder != opened.end()) {
      const absl::StatusOr<Entry> entry = folder->second.Look(place.entry);
      if (entry.ok()) name = folders_.NameOf(place.folder, folder->second, *entry);
    }
    SetName(place, name);
    if (!name.empty()) names.insert(name);
  }
  for (const std::string& name : names) LookUp(name, opened);
  Publish();
}

void Catalogue::Publish() {
  Listing listing;
  const bool several = folders_.paths().size() > 1;
  for (const auto& [index, why] : unreadable_) {
    listing.problems.emplace(folders_.paths()[index].native(), Unreadable(why));
  }
  for (const auto& [name, found] : found_) {
    const std::set<EntryPlace>& entries = entries_of_.at(name);
    if (found.ok()) {
      listing.usable.emplace(name, *found);
      continue;
    }
    if (!IsVerdict(found.status())) listing.unsettled.insert(entries.begin(), entries.end());
    if (absl::IsNotFound(found.status())) continue;  // Removed meanwhile.
    const EntryPlace& place = *entries.begin();
    listing.problems.emplace(several ? folders_.PathOf(place).native() : place.entry,
                             found.status());
  }
  index_.Flush();
  listing_.With([&](auto& last) { last = std::make_shared<const Listing>(std::move(listing)); });
}

std::shared_ptr<const Listing> Catalogue::listing() const {
  return listing_.With([](const auto& last) { return last; });
}

}  // namespace ncn::models
