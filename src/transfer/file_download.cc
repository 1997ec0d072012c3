#include "transfer/file_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "base/errno_status.h"
#include "base/logging.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "transfer/disk.h"

namespace ncn::transfer {
namespace {

// Below, a second connection costs more than it brings.
constexpr std::uint64_t kManyConnectionsBytesMin = std::uint64_t{8} << 20;
// How long an answer may go on after its last byte that was asked for.
constexpr std::chrono::milliseconds kAnswerEndWait(200);
constexpr std::size_t kHashChunkBytes = 256 * 1024;

absl::Status Named(const std::string& name, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), base::StrCat(name, ": ", status.message()));
}

}  // namespace

FileDownload::FileDownload(const DownloadContext& context, const FileToFetch& file,
                           std::vector<std::filesystem::path> targets, ProgressBoard& board,
                           std::size_t index)
    : context_(context),
      file_(file),
      targets_(std::move(targets)),
      board_(board),
      index_(index),
      sources_(file.sources, context.options) {}

absl::Status FileDownload::Run(const std::stop_token& stop) {
  absl::Status status = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(
        std::shared_ptr<PartialFile> part,
        PartialFile::Open(context_.options.staging, file_.sha256, file_.size_bytes, stop));
    {
      const std::lock_guard lock(mutex_);
      part_ = std::move(part);
    }
    board_.SetState(index_, FileState::kVerifying);
    ASSIGN_OR_RETURN(const std::vector<bool> right, FindTargets(stop));
    const auto found = std::find(right.begin(), right.end(), true);
    if (found == right.end()) {
      RETURN_IF_ERROR(Download(stop));
      ++context_.tally.fetched_files;
      board_.SetState(index_, FileState::kVerifying);
      for (std::size_t i = 1; i < targets_.size(); ++i) {
        RETURN_IF_ERROR(CopyToTarget(part_->fd(), part_->CopyPath(), targets_[i], stop));
      }
      return part_->Publish(targets_[0]);
    }
    // What is there already need not be fetched.
    part_->Remove();
    board_.SetPresent(index_, file_.size_bytes);
    const std::filesystem::path& source = targets_[static_cast<std::size_t>(found - right.begin())];
    const base::UniqueFd fd(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) return base::ErrnoStatus(errno, source.native());
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (right[i]) continue;
      RETURN_IF_ERROR(CopyToTarget(fd.get(), part_->CopyPath(), targets_[i], stop));
    }
    return absl::OkStatus();
  }();
  // A full disk is worse than another fetch, and of a file without bytes nothing is worth keeping.
  if (!status.ok() && part_ != nullptr &&
      (absl::IsResourceExhausted(status) || part_->present_bytes() == 0)) {
    part_->Remove();
  }
  board_.SetSource(index_, "");
  board_.SetState(index_, status.ok() ? FileState::kDone : FileState::kFailed);
  return Named(file_.name, status);
}

absl::StatusOr<std::vector<bool>> FileDownload::FindTargets(const std::stop_token& stop) const {
  std::vector<bool> right;
  for (const std::filesystem::path& target : targets_) {
    ASSIGN_OR_RETURN(const bool is_right, HasContent(target, file_.size_bytes, file_.sha256, stop));
    right.push_back(is_right);
  }
  return right;
}

absl::Status FileDownload::Download(const std::stop_token& stop) {
  std::uint64_t kept = part_->present_bytes();
  board_.SetPresent(index_, kept);
  RETURN_IF_ERROR(
      CheckFreeSpace(part_->fd(), part_->unreserved_bytes(), context_.options.disk_reserve_bytes));
  while (true) {
    RETURN_IF_ERROR(part_->Reserve());
    ASSIGN_OR_RETURN(const std::optional<std::string> digest, FetchAndHash(stop));
    if (digest == file_.sha256) return absl::OkStatus();
    const std::lock_guard lock(mutex_);
    if (digest) {
      ++context_.tally.wrong_hashes;
      const std::string givers = sources_.HashIsWrong(*digest, file_.sha256, kept > 0);
      base::Log("transfer")
          .warn("{}: what came from {} has the SHA-256 {} instead of {}; deleted", file_.name,
                givers, *digest, file_.sha256);
    } else if (!sources_.NextAlone()) {
      return sources_.Summary();
    }
    RETURN_IF_ERROR(part_->Clear());
    kept = 0;
    board_.SetPresent(index_, 0);
  }
}

absl::StatusOr<std::optional<std::string>> FileDownload::FetchAndHash(const std::stop_token& stop) {
  {
    const std::lock_guard lock(mutex_);
    round_ = std::stop_source();
    round_status_ = absl::OkStatus();
    const std::uint64_t missing = file_.size_bytes - part_->present_bytes();
    lanes_max_ = missing < kManyConnectionsBytesMin
                     ? 1
                     : std::max<std::size_t>(1, context_.options.connections_per_file);
  }
  const std::stop_callback forward(stop, [this] { round_.request_stop(); });
  board_.SetState(index_, FileState::kDownloading);
  std::vector<std::jthread> workers;
  for (std::size_t i = 0; i < lanes_max_ && part_->present_bytes() < file_.size_bytes; ++i) {
    workers.emplace_back([this, token = round_.get_token()] { Work(token); });
  }
  const absl::StatusOr<std::string> digest = Hash(round_.get_token());
  {
    // Whose answer does not end with the last byte keeps nobody waiting.
    std::unique_lock lock(mutex_);
    if (digest.ok()) changed_.wait_for(lock, kAnswerEndWait, [this] { return lanes_.empty(); });
    round_.request_stop();
  }
  workers.clear();  // Joins them.
  if (digest.ok()) return digest;
  if (stop.stop_requested()) return absl::CancelledError("stopped; what is there is kept");
  const std::lock_guard lock(mutex_);
  if (!round_status_.ok()) return round_status_;
  if (!absl::IsCancelled(digest.status())) return digest.status();
  return std::optional<std::string>();
}

absl::StatusOr<std::string> FileDownload::Hash(const std::stop_token& stop) {
  base::Sha256Hasher hasher;
  std::vector<char> chunk(std::min<std::uint64_t>(kHashChunkBytes, file_.size_bytes));
  std::uint64_t offset = 0;
  while (offset < file_.size_bytes) {
    const std::uint64_t prefix = part_->WaitForPrefix(offset, stop);
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    if (part_->present_bytes() == file_.size_bytes) {
      board_.SetState(index_, FileState::kVerifying);
    }
    while (offset < prefix && !stop.stop_requested()) {
      const std::size_t want = std::min<std::uint64_t>(chunk.size(), prefix - offset);
      const ssize_t got = ::pread(part_->fd(), chunk.data(), want, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::ErrnoStatus(errno, "read of the partial file");
      if (got == 0) return absl::DataLossError("the partial file was changed by somebody else");
      hasher.Update({chunk.data(), static_cast<std::size_t>(got)});
      offset += static_cast<std::uint64_t>(got);
    }
  }
  return base::AsHex(hasher.Finish());
}

void FileDownload::Tick(std::chrono::steady_clock::time_point now) {
  std::shared_ptr<PartialFile> part;
  {
    const std::lock_guard lock(mutex_);
    part = part_;
    const DownloaderOptions& options = context_.options;
    for (Lane& lane : lanes_) {
      const std::uint64_t position = lane.position;
      const double read = static_cast<double>(position - lane.marked_position);
      const std::chrono::duration<double> time = options.stall_timeout;
      if (!lane.busy) {
        if (now - lane.marked_at < options.stall_timeout) continue;
        if (read < static_cast<double>(options.stall_bytes_per_second) * time.count()) {
          lane.stalled = true;
          lane.stop.request_stop();
        }
      }
      lane.marked_at = now;
      lane.marked_position = position;
    }
  }
  if (part == nullptr) return;
  if (absl::Status status = part->SyncIfDue(now); !status.ok()) EndRound(std::move(status));
}

void FileDownload::EndRound(absl::Status status) {
  const std::lock_guard lock(mutex_);
  if (round_status_.ok()) round_status_ = std::move(status);
  round_.request_stop();
}

}  // namespace ncn::transfer
