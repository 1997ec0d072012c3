#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "rewind/memory_map.h"
#include "rewind/process_memory.h"
#include "rewind/supervisor.h"

namespace ncn::rewind {

// A descriptor of a process, as the kernel describes it.
struct Descriptor {
  std::string target;
  std::string info;  // Position, flags and more, as in /proc/PID/fdinfo.
  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};
absl::StatusOr<std::map<int, Descriptor>> ReadDescriptors(pid_t pid);

// Why a process cannot be rewound: FailedPrecondition.
absl::Status CannotRewind(std::string_view what);

// A private mapping, or several, that a range of the image has replaced.
struct ImagedPart {
  Range range;
  int protection = 0;
  std::uint64_t offset = 0;  // In the image.
};

// What an image or a file is to the main thread's stack: copies of the pages that it had.
struct StackCopy {
  Range range;
  std::vector<Range> pages;
  std::string bytes;  // Of the pages, one behind the other.
};

// Within a process, in bytes; as the loops of RemoteCalls read it.
struct Copy {
  std::uint64_t to;
  std::uint64_t from;
  std::uint64_t bytes;
};

// What a process was when it became ready: its private memory as a sealed file in memory, the
// image, and what is not memory beside it. Processes that are returned to it, and those that are
// made from it, share it; nothing of it is ever on disk. Constant once it has learned.
struct Snapshot {
  Snapshot() = default;
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // Copies a stopped process that waits for a request, and lets the image take the place of its
  // memory. FailedPrecondition names what of the process could not be rewound. Aborted: it does
  // not wait for a request, perhaps not yet.
  static absl::StatusOr<std::shared_ptr<Snapshot>> Take(StoppedProcess& process,
                                                        const ProcessMemory& memory,
                                                        int conversation);

  // The part of the image at an address, or null.
  const ImagedPart* PartAt(std::uint64_t address) const;
  // What a new layout, of the same memory, means for the places to look at.
  void FindSpans();
  // Takes what `own` holds for part of the snapshot: pages that are written back at every rewind
  // from then on.
  void Learn(const std::vector<Range>& own);
  // Adds ranges and what surrounds them, as far as it may be written, to others in ascending order.
  void Widen(const std::vector<Range>& ranges, std::vector<Range>* widened) const;
  // Takes what is `present` for what requests touch.
  void LearnTouched(const std::vector<Range>& present);
  // Memory that it takes, in bytes.
  std::uint64_t memory_bytes() const;

  base::UniqueFd image;
  char* image_at = nullptr;  // The image, mapped here for reading.
  std::uint64_t image_bytes = 0;
  std::uint64_t loop_offset = 0;  // Behind the memory: a page with RemoteCalls' loops, then zeros.
  std::vector<Range> filled;      // Of the memory, what was not empty, in ascending order.
  std::vector<ImagedPart> parts;  // In ascending order.
  StackCopy stack;
  std::vector<Range> forgotten;   // Wiped on fork: random number generators of the C library.
  std::uint64_t end_of_heap = 0;  // brk(0)

  std::string layout;             // With the image in its places.
  std::vector<Mapping> mappings;  // The same.
  std::vector<Range> spans;       // What lies between the kernel's own mappings.
  std::vector<Range> writable;    // The mappings that may be written, and the hole below the stack.
  std::uint64_t instruction = 0;  // Of a system call, in the vDSO.

  std::vector<Range> touched;  // What requests read or write, roughly, within mappings.
  std::vector<Range> learned;  // Pages that are written back at every rewind.
  std::vector<iovec> learned_here, learned_there;
  // The first of them as copies within the process, from a second view of the image; the node
  // writes the others.
  std::vector<Copy> copies;
  std::uint64_t view = 0;  // Where the process has that view,
  std::uint64_t loop = 0;  // and the loops.
  std::uint64_t learned_pages = 0;

  std::vector<ThreadState> threads;  // The main thread's first.
  std::map<int, Descriptor> descriptors;

 private:
  void LearnRange(const Range& range, const ImagedPart& part);
  void LearnStack(std::vector<Range> own);
  absl::Status SaveThreads(const StoppedProcess& process);
  absl::Status ReplaceMemory(StoppedProcess& process, const ProcessMemory& memory,
                             int conversation);
  absl::Status Choose(const ProcessMemory& memory, const std::vector<Mapping>& found,
                      const std::vector<std::string>& flags);
  absl::Status CopyMemory(const ProcessMemory& memory, const std::vector<Mapping>& found);
  absl::Status CopyPart(const ProcessMemory& memory, const ImagedPart& part, const Mapping& mapping,
                        char* to);
};

// Whether a thread that stands still waits for a request at its end of the conversation, of which
// `conversation` is the other end.
absl::Status CheckWaits(const ThreadState& state, int conversation);
// The address of a system call instruction in the kernel's own code page.
absl::StatusOr<std::uint64_t> FindInstruction(const ProcessMemory& memory,
                                              const std::vector<Mapping>& mappings);
// What two ranges share; its size is 0 when they share nothing.
Range Common(const Range& a, const Range& b);

}  // namespace ncn::rewind
