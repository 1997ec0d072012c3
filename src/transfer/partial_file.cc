#include "transfer/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "transfer/disk.h"
#include "transfer/resume_record.h"

namespace ncn::transfer {
namespace {

constexpr std::chrono::milliseconds kLockPause(20);
constexpr std::uint64_t kSyncBytes = std::uint64_t{32} << 20;
constexpr std::chrono::milliseconds kSyncPauseMin(250);
constexpr std::chrono::milliseconds kSyncPauseMax(2000);
constexpr std::uint64_t kNotifyBytes = 128 * 1024;

// A small part of the file, so that a killed process loses little, and never much.
std::uint64_t LiveStepBytes(std::uint64_t size_bytes) {
  return std::clamp<std::uint64_t>(size_bytes / 4096, 64 * 1024, 256 * 1024);
}

std::string BootId() {
  absl::StatusOr<std::string> id = base::ReadFile("/proc/sys/kernel/random/boot_id", 100);
  if (!id.ok()) return "";
  while (id->ends_with('\n')) id->pop_back();
  return *std::move(id);
}

// Empty while somebody else has the lock.
absl::StatusOr<std::optional<base::UniqueFd>> TryLock(const std::string& path) {
  base::UniqueFd fd(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  if (!fd.valid()) return WriteStatus(errno, path);
  struct stat opened;
  if (::fstat(fd.get(), &opened) != 0) return base::ErrnoStatus(errno, path);
  if (!S_ISREG(opened.st_mode)) {
    return absl::FailedPreconditionError(base::StrCat(path, ": is not a regular file; remove it"));
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK || errno == EINTR) return std::nullopt;
    return base::ErrnoStatus(errno, path);
  }
  // The one before may have finished and taken the name from what was opened.
  struct stat named;
  if (::lstat(path.c_str(), &named) != 0 || named.st_ino != opened.st_ino ||
      named.st_dev != opened.st_dev) {
    return std::nullopt;
  }
  return std::optional<base::UniqueFd>(std::move(fd));
}

}  // namespace

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

absl::StatusOr<std::unique_ptr<PartialFile>> PartialFile::Open(const std::filesystem::path& staging,
                                                               const std::string& sha256,
                                                               std::uint64_t size_bytes,
                                                               const std::stop_token& stop) {
  const std::filesystem::path stem = staging / sha256;
  std::mutex never;
  std::condition_variable_any pause;
  while (!stop.stop_requested()) {
    ASSIGN_OR_RETURN(std::optional<base::UniqueFd> fd, TryLock(stem.native() + ".part"));
    if (fd) {
      std::unique_ptr<PartialFile> file(new PartialFile(stem, *std::move(fd), sha256, size_bytes));
      file->Restore();
      return file;
    }
    std::unique_lock lock(never);
    pause.wait_for(lock, stop, kLockPause, [] { return false; });
  }
  return absl::CancelledError("stopped");
}

PartialFile::PartialFile(std::filesystem::path stem, base::UniqueFd fd, const std::string& sha256,
                         std::uint64_t size_bytes)
    : stem_(std::move(stem)),
      fd_(std::move(fd)),
      sha256_(sha256),
      size_bytes_(size_bytes),
      boot_id_(BootId()),
      live_step_bytes_(LiveStepBytes(size_bytes)),
      synced_at_(std::chrono::steady_clock::now()) {}

PartialFile::~PartialFile() {
  std::lock_guard lock(mutex_);
  if (present_.size_bytes() != recorded_bytes_) WriteLiveRecord();
}

std::string PartialFile::PathOf(std::string_view suffix) const {
  return base::StrCat(stem_.native(), suffix);
}

void PartialFile::Restore() {
  if (!RestoreFrom(".live", true) && !RestoreFrom(".resume", false)) RemoveRecords();
  recorded_bytes_ = present_.size_bytes();
}

bool PartialFile::RestoreFrom(const std::string& suffix, bool of_this_boot_only) {
  absl::StatusOr<std::string> bytes = base::ReadFile(PathOf(suffix), kResumeRecordBytes);
  if (!bytes.ok()) return false;
  const absl::StatusOr<ResumeRecord> record = ParseResumeRecord(*bytes);
  struct stat info;
  if (!record.ok() || record->sha256 != sha256_ || record->size_bytes != size_bytes_ ||
      record->present.empty() || ::fstat(fd_.get(), &info) != 0 ||
      record->present.back().end > static_cast<std::uint64_t>(info.st_size)) {
    return false;
  }
  if (of_this_boot_only && (boot_id_.empty() || record->boot_id != boot_id_)) return false;
  for (const ByteRange& range : record->present) present_.Add(range);
  return true;
}

absl::Status PartialFile::Reserve() {
  if (size_bytes_ == 0 || ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size_bytes_)) == 0) {
    return absl::OkStatus();
  }
  // Where the file system cannot, writing will tell.
  if (errno == EOPNOTSUPP || errno == ENOSYS) return absl::OkStatus();
  return WriteStatus(errno, PathOf(".part"));
}

absl::Status PartialFile::Write(std::uint64_t offset, std::string_view bytes) {
  const std::uint64_t end = offset + bytes.size();
  while (offset < end) {
    ByteRange gap;
    {
      std::lock_guard lock(mutex_);
      gap = present_.FirstGap(offset, end);
    }
    if (gap.size() == 0) break;
    bytes.remove_prefix(gap.begin - offset);
    RETURN_IF_ERROR(WriteAt(fd_.get(), gap.begin, bytes.substr(0, gap.size())));
    bytes.remove_prefix(gap.size());
    offset = gap.end;
    std::lock_guard lock(mutex_);
    present_.Add(gap);
    if (present_.size_bytes() - recorded_bytes_ >= live_step_bytes_) WriteLiveRecord();
  }
  grown_.notify_all();
  return absl::OkStatus();
}

ByteRanges PartialFile::present() const {
  std::lock_guard lock(mutex_);
  return present_;
}

std::uint64_t PartialFile::present_bytes() const {
  std::lock_guard lock(mutex_);
  return present_.size_bytes();
}

std::uint64_t PartialFile::unreserved_bytes() const {
  struct stat info;
  if (::fstat(fd_.get(), &info) != 0) return size_bytes_;
  return size_bytes_ - std::min(size_bytes_, AllocatedBytes(info));
}

std::uint64_t PartialFile::WaitForPrefix(std::uint64_t offset, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const std::uint64_t enough = std::min(offset + kNotifyBytes, size_bytes_);
  grown_.wait(lock, std::move(stop), [&] { return present_.prefix_bytes() >= enough; });
  return present_.prefix_bytes();
}

std::string PartialFile::RecordOf(const ByteRanges& ranges) const {
  return EncodeResumeRecord({.size_bytes = size_bytes_,
                             .sha256 = sha256_,
                             .boot_id = boot_id_,
                             .present = ranges.ranges()});
}

// A record that cannot be written costs bytes that are fetched twice, nothing else.
void PartialFile::WriteLiveRecord() {
  recorded_bytes_ = present_.size_bytes();
  if (!live_fd_.valid()) {
    live_fd_.reset(
        ::open(PathOf(".live").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!live_fd_.valid()) return;
  }
  (void)WriteAt(live_fd_.get(), 0, RecordOf(present_));
}

absl::Status PartialFile::SyncIfDue(std::chrono::steady_clock::time_point now) {
  const std::unique_lock sync_lock(sync_mutex_, std::try_to_lock);
  if (!sync_lock.owns_lock() || ended_) return absl::OkStatus();
  ByteRanges present;
  {
    std::lock_guard lock(mutex_);
    present = present_;
  }
  const bool much = present.size_bytes() >= synced_bytes_ + kSyncBytes;
  if (present.size_bytes() <= synced_bytes_ ||
      now - synced_at_ < (much ? kSyncPauseMin : kSyncPauseMax)) {
    return absl::OkStatus();
  }
  if (::fdatasync(fd_.get()) != 0) return WriteStatus(errno, PathOf(".part"));
  RETURN_IF_ERROR(ReplaceSyncedRecord(present));
  synced_bytes_ = present.size_bytes();
  synced_at_ = std::chrono::steady_clock::now();
  return absl::OkStatus();
}

absl::Status PartialFile::ReplaceSyncedRecord(const ByteRanges& synced) const {
  const std::string fresh = PathOf(".resume.new");
  const base::UniqueFd fd(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.valid()) return WriteStatus(errno, fresh);
  RETURN_IF_ERROR(WriteAt(fd.get(), 0, RecordOf(synced)));
  // Whether the new name is durable does not matter: the old one tells less, but nothing wrong.
  if (::fdatasync(fd.get()) != 0 || ::rename(fresh.c_str(), PathOf(".resume").c_str()) != 0) {
    return WriteStatus(errno, fresh);
  }
  return absl::OkStatus();
}

absl::Status PartialFile::Clear() {
  const std::lock_guard sync_lock(sync_mutex_);
  std::lock_guard lock(mutex_);
  present_.Clear();
  RemoveRecords();
  synced_bytes_ = 0;
  if (::ftruncate(fd_.get(), 0) != 0) return base::ErrnoStatus(errno, PathOf(".part"));
  return absl::OkStatus();
}

absl::Status PartialFile::Publish(const std::filesystem::path& target) {
  const std::lock_guard sync_lock(sync_mutex_);
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes_)) != 0 || ::fsync(fd_.get()) != 0) {
    return WriteStatus(errno, PathOf(".part"));
  }
  if (::rename(PathOf(".part").c_str(), target.c_str()) != 0) {
    return base::ErrnoStatus(errno, base::StrCat("rename to ", target.native()));
  }
  ended_ = true;
  {
    std::lock_guard lock(mutex_);
    RemoveRecords();
  }
  return SyncFolder(target.parent_path());
}

void PartialFile::Remove() {
  const std::lock_guard sync_lock(sync_mutex_);
  ended_ = true;
  std::lock_guard lock(mutex_);
  present_.Clear();
  RemoveRecords();
  ::unlink(PathOf(".part").c_str());
}

void PartialFile::RemoveRecords() {
  live_fd_.reset();
  recorded_bytes_ = present_.size_bytes();
  ::unlink(PathOf(".live").c_str());
  ::unlink(PathOf(".resume").c_str());
  ::unlink(PathOf(".resume.new").c_str());
}

}  // namespace ncn::transfer
