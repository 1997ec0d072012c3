#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sqlite.h"
#include "base/unique_fd.h"
#include "inference/model_id.h"
#include "registry/subnet_directory.h"

namespace ncn::sync {

// A model that was synchronised into the folder.
struct InstalledModel {
  std::string model;
  std::uint32_t subnet_id = 0;
  std::string version;      // As the subnet calls it.
  std::string content_id;   // See content.h.
  std::string entry;        // Its name in the folder.
  std::string tree_sha256;  // As of models::Model.
  std::uint64_t size_bytes = 0;
  std::int64_t since_seconds = 0;  // Unix time.
};

// A version that was replaced or removed, kept out of sight in `place` until nobody needs it.
struct RetiredModel {
  InstalledModel was;
  std::filesystem::path place;
  std::int64_t retired_seconds = 0;  // Unix time.
};

// A folder of models as the synchroniser keeps it. What stands in it visibly is for the model
// store; what is the synchroniser's own stands in FOLDER/.ncn:
//   lock         held by the one process that synchronises
//   sync.sqlite  which models were synchronised, in which version; which metadata was accepted last
//   staging/     files and trees in the making
//   retired/     old versions
// A model appears, or is replaced by its next version, in one step, which a crash completes or
// undoes at the next Open. What an operator put into the folder is never touched. Thread-safe.
class ModelsFolder {
 public:
  // Makes the folder if it is missing. Unavailable, with the other's process id, while another
  // process holds the lock.
  static absl::StatusOr<std::unique_ptr<ModelsFolder>> Open(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path staging() const { return path_ / ".ncn" / "staging"; }

  // In the order of their names.
  absl::StatusOr<std::vector<InstalledModel>> Installed() const;
  absl::StatusOr<std::optional<InstalledModel>> Find(const std::string& model) const;
  // The oldest first.
  absl::StatusOr<std::vector<RetiredModel>> Retired() const;

  // Moves `made` (a file or folder on the same file system, complete and on disk) to its place as
  // `model`, and retires the version that was there. AlreadyExists when something that was not
  // synchronised is in the way.
  absl::Status Install(const std::filesystem::path& made, InstalledModel model);
  // Notes that what is there already is `model`; nothing moves.
  absl::Status Adopt(InstalledModel model);
  // Takes a model out of sight. NotFound when it was not synchronised.
  absl::Status Retire(const std::string& model);
  // Moves a retired version to `made`, where it is for the caller to check and install.
  absl::Status Revive(const RetiredModel& retired, const std::filesystem::path& made);
  // Deletes it for good.
  absl::Status Delete(const RetiredModel& retired);

  // The metadata of a subnet that was accepted last; empty before the first.
  absl::StatusOr<registry::AcceptedSubnet> Accepted(std::uint32_t subnet_id) const;
  absl::Status Accept(std::uint32_t subnet_id, const registry::AcceptedSubnet& accepted);

 private:
  ModelsFolder(std::filesystem::path path, base::UniqueFd lock, base::Database database);

  absl::Status Recover();
  absl::Status Put(const InstalledModel& model, bool settled);
  absl::Status Remove(const std::string& model);
  absl::Status NoteRetired(const RetiredModel& retired);
  absl::StatusOr<std::vector<InstalledModel>> Rows(bool settled) const;
  std::filesystem::path NewRetiredPlace(const InstalledModel& model) const;
  absl::Status Sync() const;

  const std::filesystem::path path_;
  const base::UniqueFd lock_;
  mutable std::mutex mutex_;
  mutable base::Database database_;
};

// What was synchronised into `folder`, for those who only want to know: takes no lock. Empty when
// nothing ever was.
absl::StatusOr<std::vector<InstalledModel>> ReadInstalled(const std::filesystem::path& folder);

// The size of a file, or of all files below a folder, in bytes; 0 for what is not there.
std::uint64_t SizeOnDisk(const std::filesystem::path& path);

}  // namespace ncn::sync
