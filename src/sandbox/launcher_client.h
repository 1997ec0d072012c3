#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "sandbox/launch_protocol.h"

namespace ncn::sandbox {

// The node's side of its launcher process. Thread-safe.
class LauncherClient {
 public:
  // Starts the launcher program at `path`; see RunLauncher for `cgroup_folders`. The launcher ends
  // when this object does, or the whole node.
  static absl::StatusOr<std::unique_ptr<LauncherClient>> Start(
      const std::string& path, const std::vector<std::string>& cgroup_folders);
  // The same for a process that serves already, at the other ends of these; it is not waited for.
  static std::unique_ptr<LauncherClient> Adopt(base::UniqueFd requests, base::UniqueFd doorbell);
  ~LauncherClient();
  LauncherClient(const LauncherClient&) = delete;
  LauncherClient& operator=(const LauncherClient&) = delete;

  // Asks for a mini-init. What comes of it is told on the channel whose other end `channel` (lent)
  // is; the mini-init awaits its LaunchRequest there.
  absl::Status Clone(const CloneRequest& request, int channel);

 private:
  LauncherClient(base::UniqueFd requests, base::UniqueFd doorbell, pid_t pid)
      : requests_(std::move(requests)), doorbell_(std::move(doorbell)), pid_(pid) {}

  // Constant after construction.
  base::UniqueFd requests_;
  const base::UniqueFd doorbell_;
  const pid_t pid_;
};

}  // namespace ncn::sandbox
