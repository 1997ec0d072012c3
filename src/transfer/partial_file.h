#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "transfer/byte_ranges.h"

namespace ncn::transfer {

// What the names in a staging folder end with, after 64 hexadecimal digits; the first holds the
// lock.
inline constexpr std::string_view kPartialFileSuffixes[] = {".part", ".live", ".resume",
                                                            ".resume.new", ".copy"};

// Whether it is 64 lower-case hexadecimal digits.
bool IsSha256(std::string_view text);

// A file in the making: STAGING/SHA256.part, locked, and two records of which bytes of it are
// there:
//   SHA256.live    replaced in place after every few bytes, without waiting for the disk: right as
//                  long as the kernel that took them runs, also when this process is killed
//   SHA256.resume  replaced by rename, of bytes that were synced before: right after a power cut
// A record that is wrong all the same costs a fetch, for the hash of the whole is what counts.
// Thread-safe. A byte that is there is never written again, so that hashing may follow the writes.
class PartialFile {
 public:
  // Waits for the lock, then takes over what an earlier attempt has left, as far as its records
  // are about this very file. Cancelled when `stop` was requested.
  static absl::StatusOr<std::unique_ptr<PartialFile>> Open(const std::filesystem::path& staging,
                                                           const std::string& sha256,
                                                           std::uint64_t size_bytes,
                                                           const std::stop_token& stop);
  ~PartialFile();  // Keeps the file and the records.
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  // Has the disk set aside what is missing. ResourceExhausted when there is not enough.
  absl::Status Reserve();

  // Writes those of `bytes`, which begin at `offset`, that are not there.
  absl::Status Write(std::uint64_t offset, std::string_view bytes);

  ByteRanges present() const;
  std::uint64_t present_bytes() const;
  // What the disk has not set aside yet.
  std::uint64_t unreserved_bytes() const;
  // Waits until more than `offset` bytes from the begin on are there without a gap, and returns how
  // many; or until `stop` is requested.
  std::uint64_t WaitForPrefix(std::uint64_t offset, std::stop_token stop);
  int fd() const { return fd_.get(); }
  // A name beside the partial file that its lock covers, for a copy in the making.
  std::string CopyPath() const { return PathOf(".copy"); }

  // Syncs what is there and records it, if there is enough new or enough time has passed.
  absl::Status SyncIfDue(std::chrono::steady_clock::time_point now);
  // Forgets all bytes.
  absl::Status Clear();
  // Syncs the file and moves it to `target`; only then does anybody see it.
  absl::Status Publish(const std::filesystem::path& target);
  // Removes the file and its records.
  void Remove();

 private:
  PartialFile(std::filesystem::path stem, base::UniqueFd fd, const std::string& sha256,
              std::uint64_t size_bytes);
  void Restore();
  bool RestoreFrom(const std::string& suffix, bool of_this_boot_only);
  std::string PathOf(std::string_view suffix) const;
  std::string RecordOf(const ByteRanges& ranges) const;
  void WriteLiveRecord();
  absl::Status ReplaceSyncedRecord(const ByteRanges& synced) const;
  void RemoveRecords();

  const std::filesystem::path stem_;
  const base::UniqueFd fd_;
  const std::string sha256_;
  const std::uint64_t size_bytes_;
  const std::string boot_id_;
  const std::uint64_t live_step_bytes_;  // Between two live records.

  mutable std::mutex mutex_;
  std::condition_variable_any grown_;
  ByteRanges present_;
  base::UniqueFd live_fd_;
  std::uint64_t recorded_bytes_ = 0;  // Of the last live record.

  std::mutex sync_mutex_;           // Taken before mutex_.
  bool ended_ = false;              // Published or removed.
  std::uint64_t synced_bytes_ = 0;  // Of the last record that survives a power cut.
  std::chrono::steady_clock::time_point synced_at_;
};

}  // namespace ncn::transfer
