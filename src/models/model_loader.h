#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/file_index.h"
#include "models/model_store.h"
#include "models/store_files.h"

namespace ncn::models {

// Where a model is looked for, and what its Model will say.
struct Place {
  inference::ModelId id;
  std::string entry;           // Its name in the folder of models.
  std::filesystem::path root;  // The same, absolute.
};

// Makes the Model of the file `place.entry` of `store`, or of its folder; its files are `tree`.
// Reads and verifies everything. Errors as of ModelStore::Find; their messages begin with the path
// within the store.
absl::StatusOr<Model> LoadFile(const FolderFd& store, const Place& place,
                               const std::vector<TreeFile>& tree, FileIndex& index);
absl::StatusOr<Model> LoadFolder(const FolderFd& store, const Place& place,
                                 const std::vector<TreeFile>& tree, FileIndex& index);

}  // namespace ncn::models
