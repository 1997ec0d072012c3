#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/synchronized.h"
#include "models/model_store.h"
#include "models/store_files.h"

namespace ncn::models {

// SHA-256 of files in hexadecimal, remembered by identity. Thread-safe.
class FileHashes {
 public:
  // Reads the file unless it is known. Aborted when it changes while it is read.
  absl::StatusOr<std::string> Hash(const FolderFd::File& file, const std::string& path);

 private:
  base::Synchronized<std::map<FileIdentity, std::string>> known_;
};

// Where a model is looked for, and what its Model will say.
struct Place {
  inference::ModelId id;
  std::string entry;           // Its name in the store's folder.
  std::filesystem::path root;  // The same, absolute.
};

// Makes the Model of the file `place.entry` of `store`, or of its folder, whose files are `tree`.
// Reads and verifies everything. Errors as of ModelStore::Find; their messages begin with the path
// within the store.
absl::StatusOr<Model> LoadFile(const FolderFd& store, const Place& place, FileHashes& hashes);
absl::StatusOr<Model> LoadFolder(const FolderFd& store, const Place& place,
                                 const std::vector<TreeFile>& tree, FileHashes& hashes);

}  // namespace ncn::models
