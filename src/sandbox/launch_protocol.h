#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/setup_step.h"

namespace ncn::sandbox {

// What the node and its launcher say to one another: one message a datagram, little-endian numbers,
// strings and lists preceded by their length. Decoders take untrusted bytes and accept exactly what
// the encoders make: every bound is checked, and nothing may follow the last field.

inline constexpr std::size_t kMessageBytesMax = 128 << 10;
inline constexpr std::size_t kPathBytesMax = 4095;
inline constexpr std::size_t kCgroupsMax = 4;
// Descriptors that come with a LaunchRequest: these, then a second filter and standard
// input if there are, the members of its control groups, and what the command inherits.
inline constexpr std::size_t kStdoutFd = 0, kStderrFd = 1, kSeccompFd = 2, kFixedFds = 3;
inline constexpr std::size_t kInheritedMax = 2;
inline constexpr std::size_t kFdsMax = kFixedFds + 2 + kCgroupsMax + kInheritedMax;
// The number of the first descriptor that a zygote inherits.
inline constexpr int kInheritedFd = 5;

// Asks the launcher for a new process in namespaces of its own, the sandbox's mini-init. Comes with
// one descriptor: the mini-init's end of the sandbox's channel, on which the LaunchRequest follows.
// Apart from that one because the kernel takes its time to make namespaces, and the node can plan
// the rest meanwhile.
struct CloneRequest {
  std::uint32_t namespaces = 0;  // CLONE_NEW* flags.
  std::uint32_t inside_uid = 0, inside_gid = 0;
  std::uint32_t host_uid = 0, host_gid = 0;
  std::uint8_t fail_step = 0;  // As in LaunchRequest.

  bool operator==(const CloneRequest&) const = default;
};
std::string Encode(const CloneRequest& request);
absl::StatusOr<CloneRequest> DecodeCloneRequest(std::string_view bytes);

// A bind mount of the new root. `device` and `inode` are what the node saw when it checked the
// source; another file in its place is refused.
struct BindMount {
  std::string host_path;
  std::string inside_path;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool folder = false;
  bool executable = false;

  bool operator==(const BindMount&) const = default;
};

struct RootSymlink {
  std::string name;  // "/bin"
  std::string target;
  bool operator==(const RootSymlink&) const = default;
};

struct RootFile {
  std::string path;  // "/etc/passwd"
  std::string bytes;
  bool operator==(const RootFile&) const = default;
};

enum class LandlockAccess : std::uint8_t {
  kExecute = 1,  // Read and execute.
  kRead,
  kWrite,   // Read, write, create, remove, rename; no execution.
  kDevice,  // Read and write of one device.
};

struct LandlockPath {
  std::string path;  // Inside. One that does not exist is skipped.
  LandlockAccess access = LandlockAccess::kRead;
  bool operator==(const LandlockPath&) const = default;
};

struct Rlimit {
  std::uint8_t resource = 0;  // RLIMIT_*
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  bool operator==(const Rlimit&) const = default;
};

// Everything that the mini-init needs to make one sandbox.
struct LaunchRequest {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::uint32_t namespaces = 0;  // That it is in. Without CLONE_NEWNS no mount is made.
  std::uint32_t inside_uid = 0, inside_gid = 0;
  std::uint32_t host_uid = 0, host_gid = 0;
  std::vector<BindMount> binds;
  std::vector<RootSymlink> symlinks;
  std::vector<RootFile> files;
  std::uint64_t workspace_bytes = 0;
  std::uint32_t workspace_inodes = 0;
  std::string working_folder;  // Inside.
  std::vector<Rlimit> rlimits;
  bool landlock = true;
  std::vector<LandlockPath> landlock_paths;
  // What runs makes sandboxes of its own, as a zygote does: /proc can be written to, no Landlock,
  // which would forbid mounting, and no listener, since only one of stacked filters may have one.
  bool makes_sandboxes = false;
  bool watched = false;        // A second filter comes along, behind the fixed descriptors.
  bool has_stdin = false;      // Otherwise /dev/null.
  std::uint8_t cgroups = 0;    // How many lists of members come along.
  std::uint8_t inherited = 0;  // How many descriptors go to the command, from kInheritedFd on.
  std::uint8_t fail_step = 0;  // A test's: the SetupStep to refuse at. 0: none. Never weakens.

  bool operator==(const LaunchRequest&) const = default;
};
// The request must fit kMessageBytesMax; ResourceExhausted otherwise.
absl::StatusOr<std::string> Encode(const LaunchRequest& request);
absl::StatusOr<LaunchRequest> DecodeLaunchRequest(std::string_view bytes);

enum class ReportKind : std::uint8_t {
  kCloned = 1,  // From the launcher, with a pidfd.
  kFailed,      // From any: `step`, `error`, `detail`. Nothing was run.
  kHeld,    // From the payload, which waits: `listener`, `work_folder`, `landlock_abi`, `steps`.
  kEnded,   // From the mini-init: `wait_status` of the payload.
  kReaped,  // From the launcher: all is gone; `wait_status`, `cpu_us`, `rss_peak_kib`.
};

struct StepTime {
  SetupStep step = kFirstStep;
  std::uint32_t taken_us = 0;
  bool operator==(const StepTime&) const = default;
};

// What a sandbox's own channel carries to the node.
struct LaunchReport {
  ReportKind kind = ReportKind::kFailed;
  SetupStep step = kFirstStep;
  std::int32_t error = 0;
  std::string detail;
  std::int32_t listener = -1;     // The descriptor's number in the payload.
  std::int32_t work_folder = -1;  // The number of that of /work in the mini-init, or -1.
  std::uint8_t landlock_abi = 0;
  std::vector<StepTime> steps;
  std::int32_t wait_status = 0;
  std::uint64_t cpu_us = 0;
  std::uint64_t rss_peak_kib = 0;

  bool operator==(const LaunchReport&) const = default;
};
std::string Encode(const LaunchReport& report);
absl::StatusOr<LaunchReport> DecodeLaunchReport(std::string_view bytes);

// The one byte that lets the payload go.
inline constexpr char kGo = 'g';

}  // namespace ncn::sandbox
