#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ncn::transfer {

enum class FileState {
  kWaiting,      // For its turn, or for another that fetches the same file.
  kDownloading,  // Bytes come, or a source is being tried again.
  kVerifying,    // All bytes are there; what is left of the hash and of writing to disk.
  kDone,
  kFailed,
};

// "waiting", "downloading", "verifying", "done", "failed".
std::string_view FileStateName(FileState state);

// How far a file, or all of them, have come.
struct FileProgress {
  std::string name;  // As the caller named it; "total" for all.
  FileState state = FileState::kWaiting;
  std::uint64_t size_bytes = 0;
  std::uint64_t present_bytes = 0;  // On disk, those of earlier runs included.
  std::uint64_t fetched_bytes = 0;  // Taken from sources in this run, repeated ones included.
  std::string source;               // The one in use, fit to print; empty when there is none.
  int retries = 0;                  // Attempts that failed and were repeated.
  double bytes_per_second = 0;      // Fetched, averaged over some seconds; 0 unless downloading.
  std::optional<std::chrono::seconds> time_left;  // Of what is missing, at this rate.
};

struct TransferProgress {
  FileProgress total;
  std::vector<FileProgress> files;  // In the order in which they were asked for.
};

// All files as one; what failed files lack is no part of it. Its rate is for the caller to set:
// SetRate.
FileProgress TotalOf(const std::vector<FileProgress>& files);

// Sets the rate, and the time left that follows from it.
void SetRate(FileProgress& progress, double bytes_per_second);

// The account that one call of Downloader::Fetch keeps of itself while it runs. Thread-safe: the
// downloader writes, anybody reads.
class ProgressBoard {
 public:
  TransferProgress Read() const;

  // What follows is the downloader's.
  void Begin(std::vector<FileProgress> files);
  void SetState(std::size_t file, FileState state);
  void SetSource(std::size_t file, std::string source);
  void SetPresent(std::size_t file, std::uint64_t bytes);
  void AddFetched(std::size_t file, std::uint64_t bytes);
  void AddRetry(std::size_t file);
  // Measures the rates. To be called every now and then.
  void Tick(std::chrono::steady_clock::time_point now);
  // Nothing is fetched any more.
  void End();

 private:
  struct Entry {
    FileProgress progress;
    std::uint64_t fetched_at_tick = 0;
  };

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  double total_rate_ = 0;
  std::uint64_t total_at_tick_ = 0;  // Fetched.
  std::optional<std::chrono::steady_clock::time_point> ticked_;
};

}  // namespace ncn::transfer
