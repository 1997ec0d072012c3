#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "rewind/memory_map.h"

namespace ncn::rewind {

// An address in another process, as iovec wants it.
iovec At(std::uint64_t address, std::uint64_t size);

// The memory of another process, seen from outside. Reading and writing heed no protection. Not
// thread-safe.
class ProcessMemory {
 public:
  static absl::StatusOr<ProcessMemory> Open(pid_t pid);

  // All of it, or an error.
  absl::Status Read(std::uint64_t address, void* to, std::uint64_t size) const;
  absl::Status Write(std::uint64_t address, const void* from, std::uint64_t size) const;
  // Many places at once, which the process itself must be allowed to write.
  absl::Status WriteMany(std::span<const iovec> here, std::span<const iovec> there) const;
  // Appends the pages of `range` that are the process's own, in ascending order.
  absl::Status OwnPages(Range range, std::vector<Range>* found) const {
    return PageScanner(pagemap_.get()).AnonymousPages(range, found);
  }
  // How many there are altogether, present or swapped out, by the kernel's own count; only to be
  // trusted where KernelCountsExactly.
  absl::StatusOr<std::uint64_t> CountOwnPages() const;
  // Appends all pages that are in its page tables.
  absl::Status PresentPages(Range range, std::vector<Range>* found) const {
    return PageScanner(pagemap_.get()).PresentPages(range, found);
  }
  // Whether any of it is mapped, with pages or without.
  absl::StatusOr<bool> IsMapped(Range range) const {
    return PageScanner(pagemap_.get()).IsMapped(range);
  }

 private:
  ProcessMemory(pid_t pid, base::UniqueFd memory, base::UniqueFd pagemap, base::UniqueFd status)
      : pid_(pid),
        memory_(std::move(memory)),
        pagemap_(std::move(pagemap)),
        status_(std::move(status)) {}

  pid_t pid_;
  base::UniqueFd memory_;   // /proc/PID/mem
  base::UniqueFd pagemap_;  // /proc/PID/pagemap
  base::UniqueFd status_;   // /proc/PID/status
};

// Whether this kernel's counts of a process's own pages are exact (Linux 6.16 and later) and not
// behind by what each processor has counted for itself. Tried once, in a process that is forked.
bool KernelCountsExactly();

}  // namespace ncn::rewind
