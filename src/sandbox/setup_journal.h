#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/launch_protocol.h"

namespace ncn::sandbox {

// What happens while a sandbox is set up: which step is under way, how long each took, what failed.
// Used by one process at a time. The functions that return bool return false when set-up must stop;
// the reason is then here.
class SetupJournal {
 public:
  // `fail_step`, a number of SetupStep or 0, is the step that a test wants to see fail.
  explicit SetupJournal(std::uint8_t fail_step);

  // Ends the step before and begins `step`. False when that one is to fail.
  [[nodiscard]] bool Begin(SetupStep step);
  // Ends the last step.
  void Done();
  // Notes that the step under way failed with `error`. Returns false.
  bool Fail(int error, std::string_view detail);
  // The same with the current errno.
  bool FailErrno(std::string_view detail);

  const std::vector<StepTime>& steps() const { return steps_; }
  // The failure, as it is told to the node.
  LaunchReport Failure() const;

 private:
  const std::uint8_t fail_step_;
  std::uint64_t began_us_;
  bool under_way_ = false;
  SetupStep step_ = kFirstStep;
  int error_ = 0;
  std::string detail_;
  std::vector<StepTime> steps_;
};

}  // namespace ncn::sandbox
