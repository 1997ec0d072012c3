#pragma once

#include <sys/uio.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "rewind/memory_map.h"
#include "rewind/supervisor.h"

namespace ncn::rewind {

// What one rewind did, and where its time went.
struct RewindReport {
  std::uint64_t pages_written = 0;  // From the image.
  std::uint64_t pages_dropped = 0;  // Back to what is behind them.
  std::uint32_t mappings_repaired = 0;
  std::chrono::nanoseconds stop{0};  // Until every thread stood still.
  std::chrono::nanoseconds layout{0};
  std::chrono::nanoseconds scan{0};
  std::chrono::nanoseconds write{0};
  std::chrono::nanoseconds rest{0};  // Registers, signals, descriptors, injected calls.
};

// The state of a stopped process: its private memory as a sealed file in memory, the image, that
// replaces that memory in the process, and what of threads and descriptors is not memory.
class Snapshot {
 public:
  // FailedPrecondition names what of the process could not be rewound. Aborted: it does not wait
  // for a request, perhaps not yet.
  static absl::StatusOr<std::unique_ptr<Snapshot>> Take(StoppedProcess& process, int conversation);
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // Puts the state back. With `learn` the pages found written count as part of the snapshot.
  absl::Status Rewind(StoppedProcess& process, int conversation, Supervisor::Touched touched,
                      bool learn, RewindReport* report);

  std::uint64_t image_bytes() const { return image_bytes_; }

 private:
  // A private mapping, or several, that a range of the image has replaced.
  struct Imaged {
    Range range;
    int protection = 0;
    std::uint64_t offset = 0;  // In the image.
    std::uint64_t end_offset() const { return offset + range.size(); }
  };
  // What an image or a file is to the main thread's stack: copies of the pages that it had.
  struct StackCopy {
    Range range;
    std::vector<Range> pages;
    std::string bytes;  // Of the pages, one behind the other.
  };
  struct Descriptor {
    std::string target;
    std::string info;  // Position and flags.
    friend bool operator==(const Descriptor&, const Descriptor&) = default;
  };

  Snapshot() = default;
  absl::Status SaveThreads(const StoppedProcess& process);
  absl::Status ReplaceMemory(StoppedProcess& process, int conversation);
  static absl::Status CheckDescriptors(const std::map<int, Descriptor>& descriptors);
  absl::Status Choose(const std::vector<Mapping>& mappings, const std::vector<std::string>& flags);
  absl::Status CopyMemory(const std::vector<Mapping>& mappings);
  absl::Status FindInstruction(const std::vector<Mapping>& mappings);
  absl::StatusOr<int> SendImage(StoppedProcess& process, int conversation);
  absl::Status MapImage(StoppedProcess& process, int conversation,
                        const std::vector<const Imaged*>& which);
  absl::Status Call(StoppedProcess& process, long call, std::array<std::uint64_t, 6> arguments,
                    std::uint64_t wanted);
  absl::Status RepairLayout(StoppedProcess& process, int conversation, RewindReport* report);
  // The pages that are the process's own: everywhere, or, when no permission can have changed,
  // where it may write and below its stack.
  absl::StatusOr<std::vector<Range>> OwnPages(bool everywhere, RewindReport* report) const;
  bool StackHasGrown(const std::vector<Range>& own) const;
  void FindSpans();
  // Takes what `own` holds for part of the snapshot: a larger stack, and pages that are written
  // back at every rewind from then on.
  absl::Status AdoptStack(pid_t pid);
  void Learn(const std::vector<Range>& own);
  absl::Status RestorePages(StoppedProcess& process, const std::vector<Range>& own,
                            RewindReport* report);
  absl::Status WriteStack(const StoppedProcess& process) const;
  static absl::StatusOr<std::map<int, Descriptor>> ReadDescriptors(pid_t pid);
  const Imaged* ImagedAt(std::uint64_t address) const;

  base::UniqueFd memory_;   // /proc/PID/mem
  base::UniqueFd pagemap_;  // /proc/PID/pagemap
  base::UniqueFd image_;
  char* image_bytes_at_ = nullptr;  // The image, mapped here for reading.
  std::uint64_t image_bytes_ = 0;
  std::string layout_;
  std::vector<Mapping> mappings_;  // Of layout_, after the image took its places.
  std::vector<Range> spans_;       // What lies between the kernel's own mappings.
  std::vector<Range> writable_;    // The mappings that it may write, and the hole below the stack.
  std::vector<Imaged> imaged_;     // In ascending order.
  std::vector<Range> forgotten_;   // Wiped on fork: random number generators of the C library.
  StackCopy stack_;
  std::vector<Range> learned_;  // Pages that are written back at every rewind.
  std::vector<iovec> learned_here_, learned_there_;
  std::uint64_t learned_pages_ = 0;
  std::uint64_t instruction_ = 0;  // Of a system call, in the vDSO.
  std::uint64_t break_ = 0;        // brk(0)
  std::vector<pid_t> threads_;
  std::vector<ThreadState> states_;  // Of threads_.
  std::map<int, Descriptor> descriptors_;
};

}  // namespace ncn::rewind
