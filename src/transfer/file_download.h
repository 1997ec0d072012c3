#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transfer/downloader.h"
#include "transfer/partial_file.h"
#include "transfer/progress.h"
#include "transfer/range_reader.h"
#include "transfer/reader_pool.h"
#include "transfer/source_list.h"
#include "transfer/token_bucket.h"

namespace ncn::transfer {

// TransferCounts in the making. Thread-safe.
struct TransferTally {
  std::atomic<std::uint64_t> fetched_bytes = 0;
  std::atomic<std::uint64_t> fetched_files = 0;
  std::atomic<std::uint64_t> failed_files = 0;
  std::atomic<std::uint64_t> retries = 0;
  std::atomic<std::uint64_t> wrong_hashes = 0;
};

// What the downloads of one downloader share; outlives them.
struct DownloadContext {
  const DownloaderOptions& options;
  TokenBucket& bandwidth;
  ReaderPool& readers;
  TransferTally& tally;
};

// Fetches one file. Each connection has a thread; the thread of Run hashes what they have written,
// as far as it is there without a gap, so that the hash is known when the last byte is.
class FileDownload {
 public:
  // The file goes to each of `targets`. `board` has it at `index`.
  FileDownload(const DownloadContext& context, const FileToFetch& file,
               std::vector<std::filesystem::path> targets, ProgressBoard& board, std::size_t index);
  FileDownload(const FileDownload&) = delete;
  FileDownload& operator=(const FileDownload&) = delete;

  // As Downloader::Fetch has it. Once.
  absl::Status Run(const std::stop_token& stop);

  // Gives up connections that stall and syncs what is there. To be called every now and then while
  // Run runs, by one other thread.
  void Tick(std::chrono::steady_clock::time_point now);

 private:
  // A range that is being read.
  struct Lane {
    Source* source = nullptr;
    RangeRequest request;
    std::chrono::steady_clock::time_point began;
    std::stop_source stop;
    std::atomic<std::uint64_t> position = 0;  // Of the next byte.
    std::atomic<std::uint64_t> end = 0;       // What follows is none of its business.
    std::atomic<bool> cut = false;            // Another has taken over what it was to read last.
    std::atomic<bool> busy = true;            // With something else than waiting for the source.
    absl::Status local_error;                 // Of the disk, not the source.
    bool excess = false;
    bool stalled = false;
    // For Tick: when what was read had reached which position.
    std::chrono::steady_clock::time_point marked_at;
    std::uint64_t marked_position = 0;

    std::uint64_t left() const {
      const std::uint64_t last = end;
      return last - std::min(position.load(), last);
    }
    std::uint64_t bytes() const { return position - request.offset; }
  };

  absl::StatusOr<std::vector<bool>> FindTargets(const std::stop_token& stop) const;
  absl::Status Download(const std::stop_token& stop);

  // All sources until the file is whole; its hash, or empty when none is left.
  absl::StatusOr<std::optional<std::string>> FetchAndHash(const std::stop_token& stop);
  absl::StatusOr<std::string> Hash(const std::stop_token& stop);
  void Work(const std::stop_token& stop);
  Lane* NextLane(std::unique_lock<std::mutex>& lock, const std::stop_token& stop);
  std::optional<RangeRequest> NextRange(const Source& source) const;
  std::optional<RangeRequest> TakeOver(std::chrono::steady_clock::time_point now);
  bool MayJoin(const Source& source) const;
  ReadEnd Read(Lane& lane);
  ReadEnd ReadChunks(const Lane& lane, const ByteSink& sink);
  absl::Status Take(Lane& lane, std::string_view bytes);
  void Settle(Lane& lane, const ReadEnd& end);
  void SettleFailure(const Lane& lane, const ReadEnd& end);
  void Leave(Source& source, const absl::Status& why);
  void LogLeft(const Source& source, const absl::Status& why) const;
  void EndRound(absl::Status status);
  void Changed();

  const DownloadContext context_;
  const FileToFetch& file_;
  const std::vector<std::filesystem::path> targets_;
  ProgressBoard& board_;
  const std::size_t index_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t changes_ = 0;
  std::shared_ptr<PartialFile> part_;
  SourceList sources_;
  std::list<Lane> lanes_;
  std::size_t lanes_max_ = 1;
  // Of the connections' present round, which ends when the file is whole or cannot become so.
  std::stop_source round_;
  absl::Status round_status_;
};

}  // namespace ncn::transfer
