#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/synchronized.h"
#include "models/file_index.h"
#include "models/store_folders.h"
#include "models/verified_models.h"

namespace ncn::models {

// What the store's folders held when they were last looked at. Immutable.
struct Listing {
  std::map<std::string, std::shared_ptr<const Model>> usable;  // By name; without leases.
  // Of entries that are no usable model, by the entry's name, or its path where there are several
  // folders; of folders that cannot be read, by their own path.
  std::map<std::string, absl::Status> problems;
  // Entries whose error says nothing about later: the machine's, or a file that changed meanwhile.
  std::set<EntryPlace> unsettled;
};

// How `now` differs from `before`, by name.
std::vector<ModelChange> ChangesBetween(const Listing& before, const Listing& now);

// Keeps a listing up to date by looking at all entries, or at some. Thread-safe; looks at one thing
// at a time.
class Catalogue {
 public:
  // All outlive the catalogue.
  Catalogue(const StoreFolders& folders, VerifiedModels& models, FileIndex& index)
      : folders_(folders), models_(models), index_(index) {}

  // The model of a name that lies at these entries of the opened folders. Errors as of
  // ModelStore::Find.
  Found Look(const inference::ModelId& id, const std::map<std::size_t, FolderFd>& opened,
             const std::set<EntryPlace>& entries) const;

  void LookAtAll();
  void LookAt(const std::set<EntryPlace>& entries);
  // What the last look found; empty before the first.
  std::shared_ptr<const Listing> listing() const;

 private:
  // The name of an entry's model as seen now, empty when it is none.
  void SetName(const EntryPlace& place, const std::string& name);
  void LookUp(const std::string& name, const std::map<std::size_t, FolderFd>& opened);
  void Publish();

  const StoreFolders& folders_;
  VerifiedModels& models_;
  FileIndex& index_;

  std::mutex looking_;  // Guards what follows but the listing.
  std::map<EntryPlace, std::string> name_of_;
  std::map<std::string, std::set<EntryPlace>> entries_of_;
  std::map<std::string, Found> found_;  // By name.
  std::map<std::size_t, absl::Status> unreadable_;
  base::Synchronized<std::shared_ptr<const Listing>> listing_{std::make_shared<const Listing>()};
};

}  // namespace ncn::models
