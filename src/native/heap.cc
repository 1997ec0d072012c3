#include "native/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <vector>

namespace ncn::native {
namespace {

constexpr int kMappedFromBytes = 32 << 20;  // The largest that the C library takes.
constexpr std::uint64_t kBlockBytes = 16 << 20;
constexpr std::uint64_t kRoomBytesMax = 1 << 30;

}  // namespace

void PrepareHeapToFork() {
  ::mallopt(M_MMAP_THRESHOLD, kMappedFromBytes);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  ::mallopt(M_TOP_PAD, 0);
  ::malloc_trim(0);
}

// NOLINTBEGIN(cppcoreguidelines-no-malloc): it is the C library's heap that is meant.
void MakeRoomOnHeap(std::uint64_t bytes) {
  bytes = std::min(bytes, kRoomBytesMax);
  // In blocks that come from the heap's end, one after the other.
  std::vector<char*> blocks;
  const std::uint64_t count = (bytes + kBlockBytes - 1) / kBlockBytes;
  if (count == 0) return;
  const std::uint64_t block_bytes = bytes / count;
  for (std::uint64_t i = 0; i < count; ++i) {
    char* const block = static_cast<char*>(std::malloc(block_bytes));
    if (block == nullptr) break;
    blocks.push_back(block);
  }
  const bool in_a_row = blocks.size() == count && std::is_sorted(blocks.begin(), blocks.end());
  if (in_a_row) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    char* const begin =
        blocks.front() + page - reinterpret_cast<std::uintptr_t>(blocks.front()) % page;
    const auto size = static_cast<std::uintptr_t>(blocks.back() + block_bytes - begin);
    const int advice = bytes <= kHeapTakenBytesMax ? MADV_POPULATE_WRITE : MADV_HUGEPAGE;
    if (block_bytes > page) ::madvise(begin, size / page * page, advice);
  }
  for (char* block : blocks) std::free(block);
}
// NOLINTEND(cppcoreguidelines-no-malloc): see above.

void TrimHeap() { ::malloc_trim(0); }

}  // namespace ncn::native
