#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "inference/model_id.h"
#include "models/manifest.h"
#include "models/model_format.h"
#include "models/store_files.h"

namespace ncn::models {

// A model as it was found and verified. Immutable.
struct Model {
  inference::ModelId id;
  bool is_folder = false;
  // What a sandbox needs to see, read-only: the folder, or the file itself.
  std::filesystem::path root;
  std::filesystem::path file;  // The model file; equal to `root` for a bare file.
  std::string relative_file;   // `file` as seen from the folder that holds it: its plain name.
  ModelFormat format = ModelFormat::kOnnx;
  Manifest manifest;        // Default for a bare file.
  std::string sha256;       // Of the model file, lower-case hex.
  std::string tree_sha256;  // Of all files of the folder with their names; of a bare file: sha256.
  std::uint64_t size_bytes = 0;       // Of the model file.
  std::uint64_t tree_size_bytes = 0;  // Of all files.
  FileIdentity identity;              // Of the model file, when it was hashed.
};

// The models in one folder of the machine. A model NAME is
//   a file    NAME_model.EXT, or NAME.EXT, with EXT of pt, pth, onnx, safetensors; or
//   a folder  NAME/ with a model.toml, or with such a file in it (one, if no manifest names it).
// Names that begin with a dot and files of other kinds are not looked at. Below the folder nothing
// is reached through a symbolic link, and only regular files count.
//
// Every answer is checked against the disk as it is now; hashes and formats are remembered by
// device, inode, size, mtime and ctime, so that only the first look at a file reads it.
// Thread-safe.
class ModelStore {
 public:
  // `folder` as the operator wrote it; messages repeat it. It may be made, or filled, later.
  explicit ModelStore(std::filesystem::path folder);
  ~ModelStore();
  ModelStore(const ModelStore&) = delete;
  ModelStore& operator=(const ModelStore&) = delete;

  const std::filesystem::path& folder() const { return folder_; }

  // The usable models, sorted. One that cannot be used does not hide the others: see Problems.
  std::vector<inference::ModelId> List() const;

  // Why the rest is not in List: the entry's name -> the error that Find gives. The folder itself
  // appears under its own path when it cannot be read.
  std::map<std::string, absl::Status> Problems() const;

  // The model, absolute paths, with its content verified against its manifest's hashes.
  //   NotFound            "Model NAME_model.pt not found at FOLDER/NAME_model.pt"
  //   InvalidArgument     no model, another format than its name or manifest says, a bad manifest
  //   DataLoss            truncated, damaged, or not of the hash that its manifest states
  //   FailedPrecondition  several candidates, symbolic links, special files
  //   Aborted             changed while it was being read; ask again
  absl::StatusOr<std::shared_ptr<const Model>> Find(const inference::ModelId& id) const;

  // The model file, read-only, if it is still the very one that `model` describes; Aborted
  // otherwise. What is read through the descriptor is what was verified, as long as nobody writes
  // into the file in place.
  absl::StatusOr<base::UniqueFd> Open(const Model& model) const;

  // Takes the SHA-256 of a file from somebody who has just computed it, so that it is not read
  // again.
  void Learn(const FileIdentity& identity, const std::string& sha256);

  // Whether a version of a model is in use.
  bool InUse(const std::string& tree_sha256) const;

 private:
  struct Listing;
  class Cache;

  Listing Scan() const;
  absl::StatusOr<std::shared_ptr<const Model>> Look(const inference::ModelId& id,
                                                    const FolderFd& folder,
                                                    const std::vector<std::string>& entries) const;

  const std::filesystem::path folder_;
  const std::unique_ptr<Cache> cache_;
};

}  // namespace ncn::models
