#pragma once

#include <cstdint>

namespace ncn::native {

// The C library's heap, in a process that is forked, loads a model and ends.

// Before the first fork: what is freed stays with the process, for the next to allocate; what is
// free now does not, or a child would pay to copy pages that nobody reads.
void PrepareHeapToFork();

// Makes room on the heap for `bytes` that will be allocated soon. Up to kHeapTakenBytesMax the
// kernel gives them at once, which costs a quarter of giving them page by page; more it gives in
// huge pages, where it can. Best effort.
inline constexpr std::uint64_t kHeapTakenBytesMax = 16 << 20;
void MakeRoomOnHeap(std::uint64_t bytes);

// Gives back what is free.
void TrimHeap();

}  // namespace ncn::native
