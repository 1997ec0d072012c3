#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transfer/chunk_source.h"
#include "transfer/progress.h"

namespace ncn::transfer {

struct DownloaderOptions {
  // Holds what is not complete yet; made if missing. On the file system of the targets.
  std::filesystem::path staging;

  std::size_t files_at_once = 4;
  std::size_t connections_per_file = 4;    // Of a source that serves ranges, for larger files.
  std::size_t connections_max = 16;        // Of all files together.
  std::uint64_t bytes_per_second_max = 0;  // Over all connections; 0: no limit.
  std::uint64_t disk_reserve_bytes = std::uint64_t{1} << 30;  // Stays free whatever is fetched.

  std::chrono::milliseconds connect_timeout{10'000};
  // A connection that brings fewer bytes than this rate makes for this long is given up.
  std::chrono::milliseconds stall_timeout{30'000};
  std::uint64_t stall_bytes_per_second = 1024;
  // A source that fails in a way that may pass is tried again so often, after a pause that doubles
  // each time, shortened at random by up to a half; or after what the server asks for, but not
  // more.
  int retries_max = 4;
  std::chrono::milliseconds retry_pause{500};
  std::chrono::milliseconds retry_pause_max{30'000};

  std::string ca_file;                   // PEM certificates to trust instead of the system's.
  bool allow_private_addresses = false;  // https to loopback and private networks: an own mirror.
  bool use_environment_proxy = false;    // https_proxy and its kin; see Downloader.
  std::string ipfs_gateway;              // "https://host"; empty: no ipfs:// sources.
  std::vector<std::filesystem::path> file_folders;    // file:// sources lie below one of these.
  std::map<std::string, ChunkSource*> chunk_sources;  // By scheme ("grpc"); outlive the downloader.
};

// One file that is wanted.
struct FileToFetch {
  std::string name;  // For messages and progress.
  std::uint64_t size_bytes = 0;
  std::string sha256;                // 64 lower-case hexadecimal digits.
  std::vector<std::string> sources;  // The best first.
  std::filesystem::path target;      // In a folder that exists. Replaced if it is there.
};

// What a downloader has done since it exists.
struct TransferCounts {
  std::uint64_t fetched_bytes = 0;  // Taken from sources, repeated ones included.
  std::uint64_t fetched_files = 0;  // That came whole and right.
  std::uint64_t failed_files = 0;   // That could not be had; not those that were stopped.
  std::uint64_t retries = 0;        // Attempts that failed and were repeated.
  std::uint64_t wrong_hashes = 0;   // Times that what came was not what was asked for.
};

// Fetches files from places that may lie, stall or vanish. A file appears under its target's name
// only when it is whole, has the hash that was asked for, and is on disk.
//
// Sources: https:// to public addresses; http:// to this machine alone; file:// below the folders
// that the options name, through no symbolic link; ipfs://CID/path through the options' gateway;
// other schemes through the options' readers. No credentials in addresses. Redirects are followed
// at most five times, from https to https, from http on this machine to that and to https. What
// is checked is the address that is connected to, so names that resolve to a private network, today
// or the next time, lead nowhere. With a proxy the proxy connects, and only addresses that are
// written out are checked.
//
// A source is left for the next one when it says that it has no such file, sends more than it
// promised, is of another size or brings another hash (then everything is fetched anew); and after
// some attempts when it fails, stalls or is overloaded, with what it brought kept. When data of
// several sources does not have the hash, each source gets a turn alone, so that a liar stops
// nobody.
//
// `STAGING/SHA256.part` holds a file in the making, and records beside it which bytes of it are
// there: one that is exact as long as the machine is not restarted, so that a killed process loses
// next to nothing, and one that claims only what was synced to disk. Whoever works on the file
// holds a lock on it; another, also of another process, waits. A full disk removes the partial
// file, for the machine needs the room more; everything else keeps it for the next attempt.
//
// Thread-safe; calls share the limits on connections and bandwidth.
class Downloader {
 public:
  explicit Downloader(DownloaderOptions options);
  ~Downloader();
  Downloader(const Downloader&) = delete;
  Downloader& operator=(const Downloader&) = delete;

  // Fetches `files`, several at once, and returns how each one ended, in their order. A target that
  // is right already costs no fetching; files of one hash are fetched once. The message of an error
  // tells, source by source, what happened.
  //   NotFound            no source has it
  //   DataLoss            a source gave other bytes than asked for, and no other had the right ones
  //   Unavailable         no source could be reached, or all failed
  //   ResourceExhausted   not enough free space, with what is needed, free and reserved
  //   InvalidArgument     the request itself is wrong
  //   Cancelled           `stop` was requested. What is there is kept.
  // `progress`, if not null, must outlive the call.
  std::vector<absl::Status> Fetch(const std::vector<FileToFetch>& files, std::stop_token stop = {},
                                  ProgressBoard* progress = nullptr);

  TransferCounts counts() const;

 private:
  struct Shared;
  const std::unique_ptr<Shared> shared_;
};

// Removes from `staging` what was fetched in part of files other than those with the hashes
// `wanted`, unless somebody is at work on them. Returns the bytes that this frees.
absl::StatusOr<std::uint64_t> RemovePartialFiles(const std::filesystem::path& staging,
                                                 const std::set<std::string>& wanted);

}  // namespace ncn::transfer
