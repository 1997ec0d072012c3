#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ncn::rewind {

inline constexpr std::uint64_t kPageBytes = 4096;

// A range of addresses, in bytes, page by page: [start, end).
struct Range {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - start; }
  friend bool operator==(const Range&, const Range&) = default;
};

// One line of /proc/PID/maps.
struct Mapping {
  Range range;
  int protection = 0;  // PROT_*
  bool shared = false;
  std::uint64_t offset = 0;
  std::string device;  // "major:minor", as the kernel writes it.
  std::uint64_t inode = 0;
  std::string name;  // A path, "[heap]" and the like, or empty.

  bool anonymous() const { return inode == 0; }
  // The kernel's own pages: clock data, the vsyscall page.
  bool special() const { return name.starts_with("[vvar") || name == "[vsyscall]"; }
  // Whether both show the same thing at the same place; protection aside.
  bool SameBacking(const Mapping& other) const {
    return range == other.range && shared == other.shared && offset == other.offset &&
           device == other.device && inode == other.inode;
  }
};

// The text of /proc/PID/maps: equal texts are equal layouts.
absl::StatusOr<std::string> ReadLayout(pid_t pid);
// DataLoss when it is not of the kernel's form.
absl::StatusOr<std::vector<Mapping>> ParseLayout(std::string_view text);

// The two-letter codes of each mapping's VmFlags, in the order of the layout, from /proc/PID/smaps.
absl::StatusOr<std::vector<std::string>> ReadFlags(pid_t pid);

// Finds pages of a process. One for each process; not thread-safe.
class PageScanner {
 public:
  // `pagemap` is /proc/PID/pagemap, open for reading.
  explicit PageScanner(int pagemap) : pagemap_(pagemap) {}
  // Appends those within `range` that are its own, anonymous, present or swapped out, in ascending
  // order.
  absl::Status AnonymousPages(Range range, std::vector<Range>* found) const;
  // The same of all pages that are present, whatever they are.
  absl::Status PresentPages(Range range, std::vector<Range>* found) const;
  // Whether any of it is mapped, with pages or without.
  absl::StatusOr<bool> IsMapped(Range range) const;

 private:
  struct Categories {
    std::uint64_t inverted = 0, all_of = 0, any_of = 0;
  };
  // Those that have all of the one categories, of which some are inverted, and any of the others.
  absl::Status Pages(Range range, const Categories& wanted, std::vector<Range>* found) const;

  const int pagemap_;
};

}  // namespace ncn::rewind
