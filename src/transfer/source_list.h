#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "transfer/source_address.h"

namespace ncn::transfer {

// A source of a file and what is known of it.
struct Source {
  SourceAddress address;
  enum class Ranges { kUnknown, kYes, kNo };
  Ranges ranges = Ranges::kYes;    // Whether it serves parts of the file.
  bool left = false;               // It is not asked again.
  bool contributed = false;        // Some of the bytes that are there may be its.
  std::size_t readers_max = 1000;  // It does not serve more at once.
  int failures = 0;                // In a row.
  int stalls = 0;
  std::uint64_t bytes_since_failure = 0;
  std::chrono::steady_clock::time_point failed_at;
  std::chrono::steady_clock::time_point not_before;  // It is asked again.
};

// The sources of one file: which one is asked next, and the account of what became of each. Not
// thread-safe; the sources stay where they are.
class SourceList {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `options` outlives the list.
  SourceList(const std::vector<std::string>& sources, const DownloaderOptions& options);

  // The first that is not left, those that stalled least before others; null when there is none.
  Source* Best();

  // Never asks `source` again, because of `why`.
  void Leave(Source& source, const absl::Status& why);
  // Asks `source` again later, or leaves it when this was the last of its attempts. `wait`: what
  // it asks for itself. Returns whether it is asked again.
  bool Failed(Source& source, const absl::Status& why,
              std::optional<std::chrono::milliseconds> wait, TimePoint now);
  // The same after a stall, without a pause: another source, if there is one, goes first.
  bool Stalled(Source& source, const absl::Status& why);

  // The file has the hash `found` instead of `expected`. Whoever gave all of it is left. When
  // several did, `kept` bytes of an earlier attempt among them, each is asked alone from now on,
  // beginning with the first. All contributions are forgotten. Returns whose they were, fit to
  // print.
  std::string HashIsWrong(std::string_view found, std::string_view expected, bool kept);
  // When sources are asked alone, goes on to the next one; false when there is none.
  bool NextAlone();
  bool alone() const { return alone_.has_value(); }

  // Why the file could not be had, source by source.
  absl::Status Summary() const;

 private:
  void Note(std::string_view who, const absl::Status& what);

  const DownloaderOptions& options_;
  std::deque<Source> sources_;
  std::optional<std::size_t> alone_;  // The only one that is asked.
  std::vector<std::string> notes_;
  bool lied_ = false;       // Some gave wrong bytes.
  bool only_lacks_ = true;  // All that were left had no such file.
  std::minstd_rand random_;
};

}  // namespace ncn::transfer
