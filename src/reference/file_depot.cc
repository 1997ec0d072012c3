#include "reference/file_depot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "inference/subnet.h"

namespace ncn::reference {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kPartialsMax = 1000;
constexpr std::chrono::hours kPartialAgeMax{7 * 24};

absl::StatusOr<base::UniqueFd> OpenFolder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  base::UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, base::StrCat("cannot use ", folder.native()));
  return fd;
}

// The regular files of a folder whose names are hashes.
std::vector<std::pair<std::string, struct stat>> HashesIn(const fs::path& folder) {
  std::vector<std::pair<std::string, struct stat>> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    struct stat status {};
    const std::string name = entry.path().filename().native();
    if (inference::IsSha256(name) && ::lstat(entry.path().c_str(), &status) == 0 &&
        S_ISREG(status.st_mode)) {
      found.emplace_back(name, status);
    }
  }
  return found;
}

std::chrono::seconds Age(const struct stat& status, const base::Clock& clock) {
  return std::chrono::duration_cast<std::chrono::seconds>(clock.WallNow().time_since_epoch()) -
         std::chrono::seconds(status.st_mtim.tv_sec);
}

}  // namespace

// What has arrived of a file. Its mutex is taken after the depot's, or alone.
struct FileDepot::Partial {
  std::mutex mutex;
  base::UniqueFd fd;
  base::Sha256Hasher hasher;  // Of the first `hashed` bytes.
  std::uint64_t hashed = 0;
  std::uint64_t held = 0;
  std::uint64_t promised = 0;  // Size that the upload under way announced; 0: none is.
  std::uint64_t turn = 0;      // Counts the uploads; only the newest may write.
  bool sealed = false;         // All is there and about to be stored.
  base::SteadyTime last_progress;

  // Begins anew.
  absl::Status Clear() {
    if (::ftruncate(fd.get(), 0) != 0) return base::ErrnoStatus(errno, "cannot empty the file");
    hasher = base::Sha256Hasher();
    hashed = held = 0;
    return absl::OkStatus();
  }

  // Hashes what an earlier process has written.
  absl::Status CatchUp() {
    std::string buffer(1 << 20, '\0');
    while (hashed < held) {
      const ssize_t got =
          ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(hashed));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return base::ErrnoStatus(errno, "cannot read what was uploaded before");
      hasher.Update({buffer.data(), static_cast<std::size_t>(got)});
      hashed += static_cast<std::uint64_t>(got);
    }
    return absl::OkStatus();
  }
};

absl::StatusOr<std::unique_ptr<FileDepot>> FileDepot::Open(
    const DepotOptions& options, std::function<bool(const std::string&)> is_needed,
    const base::Clock& clock) {
  std::unique_ptr<FileDepot> depot(new FileDepot(options, std::move(is_needed), clock));
  RETURN_IF_ERROR(depot->Load());
  return depot;
}

FileDepot::FileDepot(const DepotOptions& options, std::function<bool(const std::string&)> is_needed,
                     const base::Clock& clock)
    : options_(options), is_needed_(std::move(is_needed)), clock_(clock) {}

FileDepot::~FileDepot() = default;

absl::Status FileDepot::Load() {
  ASSIGN_OR_RETURN(blobs_, OpenFolder(options_.folder / "blobs"));
  ASSIGN_OR_RETURN(partials_, OpenFolder(options_.folder / "partial"));
  const fs::path lock = options_.folder / "lock";
  lock_.reset(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) return base::ErrnoStatus(errno, base::StrCat("cannot open ", lock.native()));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        base::StrCat("another registry uses ", options_.folder.native(),
                     "; end it, or give this one a folder of its own"));
  }
  for (const auto& [name, status] : HashesIn(options_.folder / "blobs")) {
    sizes_[name] = static_cast<std::uint64_t>(status.st_size);
    bytes_stored_ += static_cast<std::uint64_t>(status.st_size);
  }
  for (const auto& [name, status] : HashesIn(options_.folder / "partial")) {
    if (sizes_.contains(name) || Age(status, clock_) > kPartialAgeMax) {
      ::unlinkat(partials_.get(), name.c_str(), 0);
    } else {
      RETURN_IF_ERROR(OpenPartial(name).status());
    }
  }
  return absl::OkStatus();
}

FileDepot::Holding FileDepot::Stat(const std::string& sha256) {
  std::lock_guard lock(mutex_);
  if (const auto found = sizes_.find(sha256); found != sizes_.end()) return {found->second, true};
  const auto found = partial_.find(sha256);
  if (found == partial_.end()) return {};
  std::lock_guard partial_lock(found->second->mutex);
  return {found->second->held, false};
}

bool FileDepot::Has(const std::string& sha256) {
  std::lock_guard lock(mutex_);
  return sizes_.contains(sha256);
}

absl::StatusOr<FileDepot::OpenFile> FileDepot::Get(const std::string& sha256) {
  std::lock_guard lock(mutex_);
  const auto found = sizes_.find(sha256);
  if (found == sizes_.end()) {
    return absl::NotFoundError(base::StrCat("the registry does not hold the file ", sha256));
  }
  OpenFile file{
      base::UniqueFd(::openat(blobs_.get(), sha256.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)),
      found->second};
  if (!file.fd.valid()) return base::ErrnoStatus(errno, base::StrCat("cannot open ", sha256));
  return file;
}

absl::StatusOr<std::shared_ptr<FileDepot::Partial>> FileDepot::OpenPartial(
    const std::string& sha256) {
  if (const auto found = partial_.find(sha256); found != partial_.end()) return found->second;
  if (partial_.size() >= kPartialsMax) {
    return absl::ResourceExhaustedError("the registry has too many unfinished uploads");
  }
  auto partial = std::make_shared<Partial>();
  partial->fd.reset(
      ::openat(partials_.get(), sha256.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat status {};
  if (!partial->fd.valid() || ::fstat(partial->fd.get(), &status) != 0) {
    return base::ErrnoStatus(errno, base::StrCat("cannot open the partial file ", sha256));
  }
  partial->held = static_cast<std::uint64_t>(status.st_size);
  partial_.emplace(sha256, partial);
  return partial;
}

std::uint64_t FileDepot::BytesPromised() const {
  std::uint64_t bytes = 0;
  for (const auto& [sha256, partial] : partial_) {
    std::lock_guard lock(partial->mutex);
    bytes += std::max(partial->held, partial->promised);
  }
  return bytes;
}

absl::Status FileDepot::RemoveUnneeded(std::uint64_t bytes) {
  if (!is_needed_) return absl::OkStatus();
  std::uint64_t freed = 0;
  for (const auto& [name, status] : HashesIn(options_.folder / "blobs")) {
    if (freed >= bytes) break;
    if (Age(status, clock_) < options_.unneeded_age_min || is_needed_(name)) continue;
    if (::unlinkat(blobs_.get(), name.c_str(), 0) != 0) continue;
    freed += sizes_[name];
    bytes_stored_ -= sizes_[name];
    sizes_.erase(name);
  }
  return absl::OkStatus();
}

absl::Status FileDepot::MakeRoom(std::uint64_t bytes) {
  const auto over = [&]() -> std::uint64_t {
    const std::uint64_t all = bytes_stored_ + BytesPromised() + bytes;
    return all > options_.bytes_max ? all - options_.bytes_max : 0;
  };
  if (over() > 0) RETURN_IF_ERROR(RemoveUnneeded(over()));
  if (over() > 0) {
    return absl::ResourceExhaustedError(
        base::StrCat("the registry keeps at most ", options_.bytes_max, " bytes of files, and ",
                     bytes, " more are too many; ask its operator for --max-storage-mb"));
  }
  struct statvfs disk {};
  if (::fstatvfs(partials_.get(), &disk) != 0) return base::ErrnoStatus(errno, "statvfs");
  const std::uint64_t available = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  if (available < bytes + options_.free_bytes_reserve) {
    return absl::ResourceExhaustedError(
        base::StrCat("the registry's disk has ", available, " bytes left; ", bytes,
                     " for the file and ", options_.free_bytes_reserve, " in reserve are needed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileDepot::Upload>> FileDepot::Begin(const std::string& sha256,
                                                                    std::uint64_t size_bytes,
                                                                    std::uint64_t offset) {
  std::shared_ptr<Partial> partial;
  std::uint64_t turn = 0;
  {
    std::lock_guard lock(mutex_);
    if (sizes_.contains(sha256)) {
      return absl::AlreadyExistsError(base::StrCat("the registry holds the file ", sha256));
    }
    ASSIGN_OR_RETURN(partial, OpenPartial(sha256));
    {
      std::lock_guard partial_lock(partial->mutex);
      const base::SteadyTime now = clock_.SteadyNow();
      const bool active =
          partial->promised != 0 && now - partial->last_progress < options_.upload_idle_max;
      if (active || partial->sealed) {
        return absl::AbortedError("somebody else is uploading this file; ask again in a while");
      }
      if ((offset != 0 && offset != partial->held) || offset > size_bytes) {
        return absl::FailedPreconditionError(base::StrCat("the registry holds ", partial->held,
                                                          " bytes of the file, so the upload "
                                                          "goes on there or begins at 0, not at ",
                                                          offset));
      }
      if (offset == 0 && partial->held != 0) RETURN_IF_ERROR(partial->Clear());
      partial->promised = 0;
    }
    RETURN_IF_ERROR(MakeRoom(size_bytes - offset));
    std::lock_guard partial_lock(partial->mutex);
    partial->promised = std::max<std::uint64_t>(size_bytes, 1);
    partial->last_progress = clock_.SteadyNow();
    turn = ++partial->turn;
  }
  // Not with the depot's mutex held: it may be gigabytes.
  std::unique_ptr<Upload> upload(new Upload(*this, sha256, size_bytes, partial, turn));
  std::lock_guard partial_lock(partial->mutex);
  RETURN_IF_ERROR(partial->CatchUp());
  partial->last_progress = clock_.SteadyNow();
  return upload;
}

absl::Status FileDepot::Store(const std::string& sha256, Partial& partial) {
  if (::fchmod(partial.fd.get(), 0444) != 0 || ::fsync(partial.fd.get()) != 0) {
    return base::ErrnoStatus(errno, "cannot store the file");
  }
  std::lock_guard lock(mutex_);
  if (::renameat(partials_.get(), sha256.c_str(), blobs_.get(), sha256.c_str()) != 0 ||
      ::fsync(blobs_.get()) != 0) {
    return base::ErrnoStatus(errno, "cannot store the file");
  }
  sizes_[sha256] = partial.held;
  bytes_stored_ += partial.held;
  partial_.erase(sha256);
  return absl::OkStatus();
}

void FileDepot::Discard(const std::string& sha256) {
  std::lock_guard lock(mutex_);
  ::unlinkat(partials_.get(), sha256.c_str(), 0);
  partial_.erase(sha256);
}

FileDepot::Upload::Upload(FileDepot& depot, std::string sha256, std::uint64_t size_bytes,
                          std::shared_ptr<Partial> partial, std::uint64_t turn)
    : depot_(depot),
      sha256_(std::move(sha256)),
      size_bytes_(size_bytes),
      partial_(std::move(partial)),
      turn_(turn) {}

FileDepot::Upload::~Upload() {
  std::lock_guard lock(partial_->mutex);
  if (partial_->turn == turn_) partial_->promised = 0;
}

FileDepot::Holding FileDepot::Upload::holding() const {
  std::lock_guard lock(partial_->mutex);
  return {partial_->held, finished_};
}

absl::Status FileDepot::Upload::Append(std::string_view bytes) {
  std::lock_guard lock(partial_->mutex);
  if (partial_->turn != turn_) {
    return absl::AbortedError("another upload of this file took over while this one was idle");
  }
  if (bytes.size() > size_bytes_ - partial_->held) {
    return absl::InvalidArgumentError(
        base::StrCat("more than the ", size_bytes_, " bytes that were announced arrived"));
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = ::pwrite(partial_->fd.get(), bytes.data() + done, bytes.size() - done,
                                   static_cast<off_t>(partial_->held));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return base::ErrnoStatus(errno, "the registry cannot write the file");
    partial_->hasher.Update(bytes.substr(done, static_cast<std::size_t>(wrote)));
    done += static_cast<std::size_t>(wrote);
    partial_->held += static_cast<std::uint64_t>(wrote);
    partial_->hashed = partial_->held;
  }
  partial_->last_progress = depot_.clock_.SteadyNow();
  return absl::OkStatus();
}

absl::Status FileDepot::Upload::Finish() {
  std::string found;
  {
    std::lock_guard lock(partial_->mutex);
    if (partial_->turn != turn_) {
      return absl::AbortedError("another upload of this file took over while this one was idle");
    }
    if (partial_->held != size_bytes_) {
      return absl::FailedPreconditionError(
          base::StrCat(partial_->held, " of ", size_bytes_, " bytes arrived; go on from there"));
    }
    found = base::AsHex(partial_->hasher.Finish());
    partial_->hashed = 0;
    partial_->sealed = true;
  }
  if (found != sha256_) {
    depot_.Discard(sha256_);
    return absl::DataLossError(base::StrCat("what arrived has the SHA-256 ", found, ", not ",
                                            sha256_, "; it was thrown away"));
  }
  const absl::Status stored = depot_.Store(sha256_, *partial_);
  finished_ = stored.ok();
  if (!finished_) {
    std::lock_guard lock(partial_->mutex);
    partial_->sealed = false;  // Whoever comes next hashes it anew and tries once more.
  }
  return stored;
}

}  // namespace ncn::reference
