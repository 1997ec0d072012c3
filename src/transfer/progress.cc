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

FileProgress TotalOf(const std::vector<FileProgress>& files) {
  FileProgress total{.name = "total", .state = Joined(files)};
  for (const FileProgress& file : files) {
    total.size_bytes += file.state == FileState::kFailed ? file.present_bytes : file.size_bytes;
    total.present_bytes += file.present_bytes;
    total.fetched_bytes += file.fetched_bytes;
    total.retries += file.retries;
  }
  return total;
}

void SetRate(FileProgress& progress, double bytes_per_second) {
  progress.bytes_per_second = bytes_per_second;
  progress.time_left = TimeLeft(progress);
}

TransferProgress ProgressBoard::Read() const {
  TransferProgress progress;
  std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    progress.files.push_back(entry.progress);
    SetRate(progress.files.back(), entry.progress.bytes_per_second);
  }
  progress.total = TotalOf(progress.files);
  SetRate(progress.total, total_rate_);
  return progress;
}

void ProgressBoard::Begin(std::vector<FileProgress> files) {
  std::lock_guard lock(mutex_);
  entries_.clear();
  for (FileProgress& file : files) entries_.push_back({.progress = std::move(file)});
  total_rate_ = 0;
  total_at_tick_ = 0;
  ticked_.reset();
}

void ProgressBoard::SetState(std::size_t file, FileState state) {
  std::lock_guard lock(mutex_);
  FileProgress& progress = entries_[file].progress;
  progress.state = state;
  if (state != FileState::kDownloading) progress.bytes_per_second = 0;
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
  const auto measure = [&](double& smooth, std::uint64_t fetched, std::uint64_t& at_tick) {
    const double rate = static_cast<double>(fetched - std::exchange(at_tick, fetched)) / seconds;
    smooth = smooth == 0 ? rate : smooth + weight * (rate - smooth);
    if (smooth < 1) smooth = 0;
  };
  std::uint64_t fetched_bytes = 0;
  for (Entry& entry : entries_) {
    FileProgress& file = entry.progress;
    fetched_bytes += file.fetched_bytes;
    measure(file.bytes_per_second, file.fetched_bytes, entry.fetched_at_tick);
    if (file.state != FileState::kDownloading) file.bytes_per_second = 0;
  }
  measure(total_rate_, fetched_bytes, total_at_tick_);
}

void ProgressBoard::End() {
  std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) entry.progress.bytes_per_second = 0;
  total_rate_ = 0;
}

}  // namespace ncn::transfer
