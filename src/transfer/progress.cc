#include "transfer/progress.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ncn::transfer {
namespace {

constexpr double kSmoothingSeconds = 3;
constexpr double kTickSecondsMin = 0.1;

std::optional<std::chrono::seconds> TimeLeft(const FileProgress& progress) {
  const std::uint64_t missing = progress.size_bytes - progress.present_bytes;
  if (missing == 0) return std::chrono::seconds(0);
  const double seconds = std::ceil(static_cast<double>(missing) / progress.bytes_per_second);
  if (!(seconds < 1e9)) return std::nullopt;
  return std::chrono::seconds(static_cast<std::int64_t>(seconds));
}

// The state of all: what the most active one does.
FileState Joined(const std::vector<FileProgress>& files) {
  constexpr FileState kOrder[] = {FileState::kDownloading, FileState::kVerifying,
                                  FileState::kWaiting, FileState::kFailed};
  for (const FileState state : kOrder) {
    if (std::any_of(files.begin(), files.end(),
                    [&](const FileProgress& file) { return file.state == state; })) {
      return state;
    }
  }
  return FileState::kDone;
}

}  // namespace

std::string_view FileStateName(FileState state) {
  switch (state) {
    case FileState::kWaiting:
      return "waiting";
    case FileState::kDownloading:
      return "downloading";
    case FileState::kVerifying:
      return "verifying";
    case FileState::kDone:
      return "done";
    case FileState::kFailed:
      return "failed";
  }
  return "unknown";
}

TransferProgress ProgressBoard::Read() const {
  TransferProgress progress;
  progress.total.name = "total";
  std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    FileProgress& file = progress.files.emplace_back(entry.progress);
    file.time_left = TimeLeft(file);
    progress.total.size_bytes += file.size_bytes;
    progress.total.present_bytes += file.present_bytes;
    progress.total.fetched_bytes += file.fetched_bytes;
    progress.total.retries += file.retries;
  }
  progress.total.bytes_per_second = total_rate_;
  progress.total.time_left = TimeLeft(progress.total);
  progress.total.state = Joined(progress.files);
  return progress;
}

void ProgressBoard::Begin(std::vector<FileProgress> files) {
  std::lock_guard lock(mutex_);
  entries_.clear();
  for (FileProgress& file : files) entries_.push_back({.progress = std::move(file)});
  total_rate_ = 0;
  ticked_.reset();
}

void ProgressBoard::SetState(std::size_t file, FileState state) {
  std::lock_guard lock(mutex_);
  entries_[file].progress.state = state;
}

void ProgressBoard::SetSource(std::size_t file, std::string source) {
  std::lock_guard lock(mutex_);
  entries_[file].progress.source = std::move(source);
}

void ProgressBoard::SetPresent(std::size_t file, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  entries_[file].progress.present_bytes = bytes;
}

void ProgressBoard::AddFetched(std::size_t file, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  entries_[file].progress.fetched_bytes += bytes;
}

void ProgressBoard::AddRetry(std::size_t file) {
  std::lock_guard lock(mutex_);
  ++entries_[file].progress.retries;
}

void ProgressBoard::Tick(std::chrono::steady_clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (!ticked_) {
    ticked_ = now;
    return;
  }
  const double seconds = std::chrono::duration<double>(now - *ticked_).count();
  if (seconds < kTickSecondsMin) return;
  ticked_ = now;
  // The first measurement counts whole, later ones by their share of the smoothing time.
  const double weight = 1 - std::exp(-seconds / kSmoothingSeconds);
  total_rate_ = 0;
  for (Entry& entry : entries_) {
    const double rate =
        static_cast<double>(entry.progress.fetched_bytes - entry.fetched_at_tick) / seconds;
    double& smooth = entry.progress.bytes_per_second;
    smooth = smooth == 0 ? rate : smooth + weight * (rate - smooth);
    if (smooth < 1) smooth = 0;
    entry.fetched_at_tick = entry.progress.fetched_bytes;
    total_rate_ += smooth;
  }
}

}  // namespace ncn::transfer
