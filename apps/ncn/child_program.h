#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ncn::apps {

// A program that runs as our child and dies with us, whose lines we read. Not thread-safe; make it
// before any thread exists.
class ChildProgram {
 public:
  // Starts argv[0] with standard output and error in one pipe. `label` goes before its lines. It
  // gets our environment without the variable `withheld`, which may be null.
  static absl::StatusOr<ChildProgram> Start(std::string label, std::vector<std::string> argv,
                                            const char* withheld = nullptr);

  ChildProgram(ChildProgram&&) = default;
  ChildProgram& operator=(ChildProgram&&) = default;
  // Kills and reaps what still runs.
  ~ChildProgram();

  int output_fd() const { return output_.get(); }
  // Reads what is there and prints whole lines as "label | line"; `on_line` sees each. False at the
  // end of the output.
  bool Forward(const std::function<void(std::string_view)>& on_line);

  // Asks it to end, and waits up to `patience_ms` before it is killed. Prints what it still says.
  // Returns its exit status, 128 + signal when a signal ended it.
  int Stop(int patience_ms);

 private:
  ChildProgram(std::string label, pid_t pid, base::UniqueFd pidfd, base::UniqueFd output);

  std::string label_;
  pid_t pid_ = -1;
  base::UniqueFd pidfd_;
  base::UniqueFd output_;
  std::string partial_line_;
};

}  // namespace ncn::apps
