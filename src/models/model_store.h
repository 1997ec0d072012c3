#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "inference/model_id.h"
#include "models/manifest.h"
#include "models/model_format.h"
#include "models/store_files.h"

namespace ncn::models {

struct Listing;

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
  // All files that were verified, by their path within `root`; of a bare file, itself. Never null.
  std::shared_ptr<const std::vector<TreeFile>> files;
  // Held by every copy of a verified version that the store has lent: what makes it in use. See
  // ModelStore::InUse.
  std::shared_ptr<const void> lease;
};

// One difference between two looks at the store.
struct ModelChange {
  enum class Kind { kAdded, kReplaced, kRemoved };
  Kind kind = Kind::kAdded;
  inference::ModelId id;
};

// The models in some folders of the machine. A model NAME is
//   a file    NAME_model.EXT, or NAME.EXT, with EXT of pt, pth, onnx, safetensors; or
//   a folder  NAME/ with a model.toml, or with such a file in it (one, if no manifest names it).
// Names that begin with a dot and files of other kinds are not looked at. Below a folder nothing is
// reached through a symbolic link, and only regular files count. A name that is there twice, in
// one folder or in two, is refused.
//
// Hashes and formats are remembered by device, inode, size, mtime and ctime, so that only the first
// look at a file reads it. Find is always checked against the disk as it is now; List and the like
// are, too, until Watch is called. Thread-safe.
class ModelStore {
 public:
  struct Options {
    // As the operator wrote them; messages repeat it. They may be made, or filled, later.
    std::vector<std::filesystem::path> folders;
    // The file in which hashes are remembered over restarts: see FileIndex. Empty: none.
    std::filesystem::path index = {};
  };
  explicit ModelStore(Options options);
  // Of one folder, without an index.
  explicit ModelStore(std::filesystem::path folder);
  ~ModelStore();
  ModelStore(const ModelStore&) = delete;
  ModelStore& operator=(const ModelStore&) = delete;

  const std::vector<std::filesystem::path>& folders() const;

  // The usable models, sorted. One that cannot be used does not hide the others: see Problems.
  std::vector<inference::ModelId> List() const;
  // The same, described. They are not lent.
  std::vector<std::shared_ptr<const Model>> Models() const;

  // Why the rest is not in List: the entry's name (its path, where there are several folders) ->
  // the error that Find gives. A folder that cannot be read appears under its own path.
  std::map<std::string, absl::Status> Problems() const;

  // The model, absolute paths, with its content verified against its manifest's hashes. It is lent:
  // in use until the last copy of it is gone.
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

  // Whether a version of a model that Find has given to somebody, a request, a ready sandbox or
  // what makes those, is still there, so that its files must stay.
  bool InUse(std::string_view tree_sha256) const;

  // Looks at everything once and from then on follows what happens in the folders, on a thread of
  // its own: List, Models and Problems answer from memory. Changes show as soon as a file is closed
  // and its folder has been at rest for a moment; where the kernel cannot tell of them (its limits
  // of inotify), after ten seconds. Each is logged. To be called once.
  void Watch();

  // Hears of changes that Watch sees, on its thread, one call at a time; must return soon.
  // Destruction waits for a call that is under way. The store outlives it.
  using OnChange = std::function<void(const std::vector<ModelChange>&)>;
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(OnChange on_change);

 private:
  struct State;

  std::shared_ptr<const Listing> Look() const;

  const std::unique_ptr<State> state_;
};

}  // namespace ncn::models
