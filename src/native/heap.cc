#include "native/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace ncn::native {
namespace {

constexpr int kMappedFromBytes = 32 << 20;  // The largest that the C library takes.
constexpr int kKeptBytes = 64 << 20;

// Of Linux 5.14; Debian 12's C library has it.
constexpr int kPopulate = MADV_POPULATE_WRITE;

}  // namespace

void PrepareHeapToFork() {
  ::mallopt(M_MMAP_THRESHOLD, kMappedFromBytes);
  ::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
  ::mallopt(M_TOP_PAD, 0);
  ::malloc_trim(0);
}

void TakeHeapAhead(std::uint64_t bytes) {
  bytes = std::min(bytes, kHeapAheadBytesMax);
  // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): it is the C library's heap that is meant.
  char* const taken = static_cast<char*>(std::malloc(bytes));
  if (taken == nullptr) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t before = (page - reinterpret_cast<std::uintptr_t>(taken) % page) % page;
  // Best effort.
  if (bytes > before) ::madvise(taken + before, (bytes - before) / page * page, kPopulate);
  // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): see above.
  std::free(taken);
}

void TrimHeap() { ::malloc_trim(0); }

}  // namespace ncn::native
