#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"

namespace ncn::reference {

struct DepotOptions {
  std::filesystem::path folder;
  std::uint64_t bytes_max = 64ULL << 30;         // Of all files, those under way included.
  std::uint64_t free_bytes_reserve = 256 << 20;  // Left free on the disk.
  std::chrono::seconds upload_idle_max{10};      // Then another upload of the file may go on.
  std::chrono::hours unneeded_age_min{24};       // Before a file that nobody needs makes room.
};

// Files by their SHA-256, in two folders: FOLDER/blobs/<sha256>, whole and verified, never changed;
// FOLDER/partial/<sha256>, what has arrived of a file. A file is hashed while it arrives, and
// appears among the blobs by a rename, after fsync. What was kept of a file survives a kill; what a
// power loss spoils of a partial one shows in its hash. One process at a time has the folder.
// Thread-safe; hashes are 64 lower-case digits, which callers have checked.
class FileDepot {
 public:
  struct Holding {
    std::uint64_t bytes_held = 0;
    bool complete = false;
  };
  struct OpenFile {
    base::UniqueFd fd;
    std::uint64_t size_bytes = 0;
  };
  class Upload;

  // `is_needed` says of a file whether it must stay when room is wanted. FailedPrecondition when
  // another process has the folder.
  static absl::StatusOr<std::unique_ptr<FileDepot>> Open(
      const DepotOptions& options, std::function<bool(const std::string& sha256)> is_needed,
      const base::Clock& clock = base::Clock::System());
  ~FileDepot();

  Holding Stat(const std::string& sha256);
  bool Has(const std::string& sha256);
  // NotFound when the file is not held whole.
  absl::StatusOr<OpenFile> Get(const std::string& sha256);

  // Goes on with a file where it was left (`offset` = bytes_held), or begins it anew (0).
  // AlreadyExists when it is held whole; Aborted while somebody else uploads it;
  // FailedPrecondition for another offset; ResourceExhausted when there is no room.
  absl::StatusOr<std::unique_ptr<Upload>> Begin(const std::string& sha256, std::uint64_t size_bytes,
                                                std::uint64_t offset);

 private:
  struct Partial;

  FileDepot(const DepotOptions& options, std::function<bool(const std::string&)> is_needed,
            const base::Clock& clock);
  absl::Status Load();
  // With mutex_ held.
  absl::StatusOr<std::shared_ptr<Partial>> OpenPartial(const std::string& sha256);
  absl::Status MakeRoom(std::uint64_t bytes);
  std::uint64_t BytesPromised() const;
  absl::Status RemoveUnneeded(std::uint64_t bytes);
  absl::Status Store(const std::string& sha256, Partial& partial);
  void Discard(const std::string& sha256);

  const DepotOptions options_;
  const std::function<bool(const std::string&)> is_needed_;
  const base::Clock& clock_;
  base::UniqueFd lock_;
  base::UniqueFd blobs_;
  base::UniqueFd partials_;

  std::mutex mutex_;
  std::map<std::string, std::uint64_t> sizes_;  // Of the blobs.
  std::uint64_t bytes_stored_ = 0;              // Their sum.
  std::map<std::string, std::shared_ptr<Partial>> partial_;
};

// One upload; it ends with Finish or with its destruction, which keeps what has arrived. For one
// thread at a time; the depot outlives it.
class FileDepot::Upload {
 public:
  ~Upload();

  // Aborted when another upload took over after this one had been idle; InvalidArgument for more
  // than the size that was promised.
  absl::Status Append(std::string_view bytes);
  // DataLoss when what arrived is not the file: nothing of it is kept. FailedPrecondition when not
  // all of it arrived.
  absl::Status Finish();
  Holding holding() const;

 private:
  friend class FileDepot;
  Upload(FileDepot& depot, std::string sha256, std::uint64_t size_bytes,
         std::shared_ptr<Partial> partial, std::uint64_t turn);

  FileDepot& depot_;
  const std::string sha256_;
  const std::uint64_t size_bytes_;
  const std::shared_ptr<Partial> partial_;
  const std::uint64_t turn_;
  bool finished_ = false;
};

}  // namespace ncn::reference
