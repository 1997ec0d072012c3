#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "inference/limits.h"

namespace ncn::sandbox {

// The control group of one sandbox, with its limits set. Removed when destroyed, which must be
// after its last process ended. Not thread-safe.
class Cgroup {
 public:
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  // The open list of members of each hierarchy, by processes or (v1) by threads. A process of one
  // thread that writes "0" to each joins the group; rights are those of who opened them.
  const std::vector<base::UniqueFd>& members() const { return members_; }
  // How often a process was killed for memory.
  std::uint64_t MemoryKills() const;
  std::uint64_t PeakMemoryBytes() const;  // Thread-safe.
  // Whether `proc_cgroup`, the content of /proc/PID/cgroup, says that the process is a member.
  bool Holds(std::string_view proc_cgroup) const;

 private:
  friend class CgroupTree;
  struct Place {
    std::string folder;      // Absolute.
    std::string membership;  // The line of /proc/PID/cgroup, without the hierarchy's number.
  };
  explicit Cgroup(bool v2) : v2_(v2) {}

  const bool v2_;
  std::vector<Place> places_;  // The first is the memory controller's.
  std::vector<base::UniqueFd> members_;
  mutable std::once_flag peak_opened_;
  mutable base::UniqueFd peak_;
};

// The part of the machine's control groups that this node may make sandboxes' groups in.
// Thread-safe.
class CgroupTree {
 public:
  // Finds out what there is: v2 (as root or delegated) or v1 (as root) with at least memory and
  // pids. NotFound or PermissionDenied says why there is none.
  static absl::StatusOr<std::unique_ptr<CgroupTree>> Create();
  ~CgroupTree();

  // A new group with the limits of one execution.
  absl::StatusOr<std::unique_ptr<Cgroup>> Make(const inference::ExecutionLimits& limits);
  bool v2() const { return v2_; }
  // "cgroup-v1-memory", …
  std::vector<std::string> Layers() const;
  // The folders below which Make makes its own; for whoever cleans up after a crash.
  std::vector<std::string> Folders() const;

 private:
  struct Hierarchy {
    std::string controller;  // "memory"; empty for v2.
    std::string folder;      // Ours, absolute.
    std::string membership;  // "memory:/parent/ncn-1"
  };
  CgroupTree() = default;
  absl::Status UseVersion1(const std::string& mounts, const std::string& own);
  absl::Status UseVersion2(const std::string& mounts, const std::string& own);

  bool v2_ = false;
  std::vector<Hierarchy> hierarchies_;  // Constant after construction.
};

}  // namespace ncn::sandbox
