#pragma once

#include <cstdint>

namespace ncn::native {

// The C library's heap, in a process that is forked, loads a model and ends.

// Before the first fork: what is freed stays with the process, for the next to allocate; what is
// free now does not, or a child would pay to copy pages that nobody reads.
void PrepareHeapToFork();

// Takes `bytes`, at most kHeapAheadBytesMax, from the kernel at once, which costs a quarter of
// taking them page by page, and frees them for what is allocated next.
inline constexpr std::uint64_t kHeapAheadBytesMax = 16 << 20;
void TakeHeapAhead(std::uint64_t bytes);

// Gives back what is free.
void TrimHeap();

}  // namespace ncn::native
