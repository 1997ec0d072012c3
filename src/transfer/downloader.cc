#include "transfer/downloader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "transfer/disk.h"
#include "transfer/file_download.h"
#include "transfer/partial_file.h"

namespace ncn::transfer {

struct Downloader::Shared {
  explicit Shared(DownloaderOptions o)
      : options(std::move(o)), bandwidth(options.bytes_per_second_max), readers(options) {}

  const DownloaderOptions options;
  TokenBucket bandwidth;
  ReaderPool readers;
  TransferTally tally;
};

namespace {

constexpr std::chrono::milliseconds kTick(100);

absl::Status Check(const FileToFetch& file, dev_t staging_device) {
  const auto wrong = [&](std::string_view what) {
    return absl::InvalidArgumentError(base::StrCat(file.name, ": ", what));
  };
  if (!IsSha256(file.sha256)) return wrong("sha256 is not 64 lower-case hexadecimal digits");
  if (file.size_bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
    return wrong("size_bytes is more than a file can have");
  }
  if (!file.target.has_filename() || !file.target.has_parent_path()) {
    return wrong("the target is not the path of a file in a folder");
  }
  struct stat folder;
  if (::stat(file.target.parent_path().c_str(), &folder) != 0 || !S_ISDIR(folder.st_mode)) {
    return wrong(base::StrCat(file.target.parent_path().native(), " is not a folder"));
  }
  if (folder.st_dev != staging_device) {
    return wrong("target and staging folder are on two file systems");
  }
  return absl::OkStatus();
}

// One call of Fetch: some threads take a file after the other, the calling one watches over them.
class Batch {
 public:
  Batch(const DownloadContext& context, const std::vector<FileToFetch>& files, ProgressBoard& board)
      : context_(context), files_(files), board_(board), statuses_(files.size()) {}

  std::vector<absl::Status> Run(const std::stop_token& stop) {
    const absl::StatusOr<base::UniqueFd> staging = OpenStaging();
    if (!staging.ok()) return std::vector<absl::Status>(files_.size(), staging.status());
    Sort(staging->get());
    if (absl::Status status = CheckSpace(staging->get()); !status.ok()) {
      for (const Group& group : groups_) Finish(group, status);
      return statuses_;
    }
    running_ = std::min(std::max<std::size_t>(1, context_.options.files_at_once), groups_.size());
    std::vector<std::jthread> runners;
    for (std::size_t i = running_; i > 0; --i) {
      runners.emplace_back([this, &stop] { FetchGroups(stop); });
    }
    Supervise(stop);
    runners.clear();  // Joins them.
    board_.End();
    return statuses_;
  }

 private:
  // Files of one hash and size, which are fetched once; the first gives name and sources.
  using Group = std::vector<std::size_t>;

  absl::StatusOr<base::UniqueFd> OpenStaging() const {
    const std::filesystem::path& path = context_.options.staging;
    std::error_code error;
    std::filesystem::create_directories(path, error);
    base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return base::ErrnoStatus(errno, path.native());
    return fd;
  }

  void Sort(int staging_fd) {
    struct stat staging = {};
    ::fstat(staging_fd, &staging);
    std::map<std::pair<std::string, std::uint64_t>, std::size_t> known;
    std::vector<FileProgress> progress;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const FileToFetch& file = files_[i];
      progress.push_back({.name = file.name, .size_bytes = file.size_bytes});
      statuses_[i] = Check(file, staging.st_dev);
      if (!statuses_[i].ok()) {
        progress.back().state = FileState::kFailed;
        continue;
      }
      const auto [at, is_new] = known.try_emplace({file.sha256, file.size_bytes}, groups_.size());
      if (is_new) groups_.emplace_back();
      groups_[at->second].push_back(i);
    }
    board_.Begin(std::move(progress));
  }

  // Room for all that is missing.
  absl::Status CheckSpace(int staging_fd) const {
    std::uint64_t missing_bytes = 0;
    for (const Group& group : groups_) {
      const FileToFetch& file = files_[group.front()];
      const std::string part = file.sha256 + ".part";
      struct stat info;
      // One of the right size is probably what it should be.
      if (::lstat(file.target.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
          static_cast<std::uint64_t>(info.st_size) == file.size_bytes) {
        continue;
      }
      missing_bytes += file.size_bytes;
      if (::fstatat(staging_fd, part.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
        missing_bytes -= std::min(file.size_bytes, AllocatedBytes(info));
      }
    }
    return CheckFreeSpace(staging_fd, missing_bytes, context_.options.disk_reserve_bytes);
  }

  void FetchGroups(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (next_ < groups_.size()) {
      const Group& group = groups_[next_++];
      std::vector<std::filesystem::path> targets;
      for (const std::size_t i : group) targets.push_back(files_[i].target);
      const auto file = std::make_shared<FileDownload>(context_, files_[group.front()],
                                                       std::move(targets), board_, group.front());
      active_.insert(file);
      lock.unlock();
      absl::Status status =
          stop.stop_requested() ? absl::CancelledError("stopped before it began") : file->Run(stop);
      lock.lock();
      active_.erase(file);
      Finish(group, status);
    }
    --running_;
    changed_.notify_all();
  }

  void Finish(const Group& group, const absl::Status& status) {
    if (!status.ok() && !absl::IsCancelled(status)) ++context_.tally.failed_files;
    for (const std::size_t i : group) {
      statuses_[i] = status;
      board_.SetState(i, status.ok() ? FileState::kDone : FileState::kFailed);
      if (status.ok()) board_.SetPresent(i, files_[i].size_bytes);
    }
  }

  void Supervise(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kTick, [this] { return running_ == 0; })) {
      const std::set<std::shared_ptr<FileDownload>> active = active_;
      lock.unlock();
      const auto now = std::chrono::steady_clock::now();
      board_.Tick(now);
      for (const auto& file : active) {
        if (!stop.stop_requested()) file->Tick(now);
      }
      lock.lock();
    }
  }

  const DownloadContext context_;
  const std::vector<FileToFetch>& files_;
  ProgressBoard& board_;
  std::vector<Group> groups_;  // Constant once sorted.

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t next_ = 0;
  std::size_t running_ = 0;
  std::set<std::shared_ptr<FileDownload>> active_;
  std::vector<absl::Status> statuses_;
};

}  // namespace

Downloader::Downloader(DownloaderOptions options)
    : shared_(std::make_unique<Shared>(std::move(options))) {}

Downloader::~Downloader() = default;

TransferCounts Downloader::counts() const {
  const TransferTally& tally = shared_->tally;
  return {.fetched_bytes = tally.fetched_bytes,
          .fetched_files = tally.fetched_files,
          .failed_files = tally.failed_files,
          .retries = tally.retries,
          .wrong_hashes = tally.wrong_hashes};
}

std::vector<absl::Status> Downloader::Fetch(const std::vector<FileToFetch>& files,
                                            std::stop_token stop, ProgressBoard* progress) {
  ProgressBoard board;
  const DownloadContext context = {.options = shared_->options,
                                   .bandwidth = shared_->bandwidth,
                                   .readers = shared_->readers,
                                   .tally = shared_->tally};
  return Batch(context, files, progress != nullptr ? *progress : board).Run(stop);
}

}  // namespace ncn::transfer
