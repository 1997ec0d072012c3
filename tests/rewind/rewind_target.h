#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "base/unique_fd.h"
#include "rewind/rewinder.h"

namespace ncn::rewind {

// A process that is forked, held, traced, and then answers each question with one byte. What it
// computes is a function of this program.
class RewindTarget {
 public:
  using Answer = std::uint8_t (*)(std::uint32_t question);
  enum class Filter { kWatched, kNone };
  // `prepare`, which may be null, runs before the process waits for its first question.
  explicit RewindTarget(Answer answer, void (*prepare)() = nullptr,
                        Filter filter = Filter::kWatched);
  ~RewindTarget();

  bool Send(std::uint32_t question);
  // False when it ended instead.
  bool Ask(std::uint32_t question, std::uint8_t* answer);
  // Takes the snapshot, then rewinds once with what `question` makes it write, if not 0.
  absl::Status Snapshot(std::uint32_t question = 0);
  // Becomes what another one was at its snapshot, or tells why it cannot.
  absl::Status Become(const RewindTarget& other);
  Rewinder& rewinder() { return *rewinder_; }
  const Rewinder& rewinder() const { return *rewinder_; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  base::UniqueFd socket_;
  std::unique_ptr<Rewinder> rewinder_;
};

}  // namespace ncn::rewind
