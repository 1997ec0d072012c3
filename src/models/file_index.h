#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "models/model_format.h"
#include "models/store_files.h"

namespace ncn::models {

// What was learnt by reading files, remembered by their identity: each is read once, also over
// restarts. Thread-safe; files are read outside of its lock.
class FileIndex {
 public:
  // `path` is the SQLite file to remember in, in a folder of the node's own; empty: in memory
  // alone. It is a cache: one that is damaged or of another version is made anew, one that cannot
  // be used is gone without, each with a warning. `clock` outlives the index.
  explicit FileIndex(std::filesystem::path path, const base::Clock& clock = base::Clock::System());
  ~FileIndex();
  FileIndex(const FileIndex&) = delete;
  FileIndex& operator=(const FileIndex&) = delete;

  // The SHA-256 of a whole file in `folder`, lower-case hex. One that is known is not even opened.
  // Aborted when it is no longer the listed one, or changes while it is read.
  absl::StatusOr<std::string> Sha256(const FolderFd& folder, const TreeFile& listed);
  // Takes the hash from somebody who has just read the file, and knows that nobody writes to it.
  void Learn(const FileIdentity& identity, const std::string& sha256);
  // Its format; errors as of DetectFormat.
  absl::StatusOr<ModelFormat> Format(const FolderFd& folder, const TreeFile& listed);

  // Writes what was learnt since the last time in one transaction, and forgets files that nobody
  // has asked for in thirty days.
  void Flush();

  // For tests.
  std::size_t size() const;

 private:
  class Store;  // The SQLite file.
  // A file has one row, of its latest state.
  struct Key {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Row {
    FileIdentity identity;
    std::string sha256;  // Empty: not known.
    std::optional<ModelFormat> format;
    std::int64_t seen_day = 0;  // Since 1970.
    bool written = false;       // As it stands here.
  };

  static Key KeyOf(const FileIdentity& identity) { return {identity.device, identity.inode}; }
  std::int64_t Today() const;
  // With the mutex held: the row of the file, if it is of this very state.
  Row* Recall(const FileIdentity& identity);
  // With the mutex held: the row, a new one if need be, of a file that is settled.
  Row& RowFor(const FileIdentity& identity);
  // With the mutex held.
  void Forget(std::int64_t before_day);
  void MakeRoom();

  const base::Clock& clock_;
  mutable std::mutex mutex_;
  std::map<Key, Row> rows_;
  std::vector<Key> removed_;      // Since the last flush.
  std::unique_ptr<Store> store_;  // Null: in memory alone.
  bool dirty_ = false;            // Some row is not written.
};

}  // namespace ncn::models
