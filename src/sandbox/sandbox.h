#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "sandbox/sandbox_outcome.h"
#include "sandbox/sandbox_policy.h"

namespace ncn::sandbox {

enum class SandboxMode {
  kStrict,      // Every layer, or no execution.
  kPermissive,  // seccomp and limits, or no execution; of the rest what the machine offers.
  kDisabled,    // No isolation at all. For development.
};
std::string_view Name(SandboxMode mode);
std::optional<SandboxMode> SandboxModeFromName(std::string_view name);

// What to run in a sandbox. Paths are those of the inside: /work is the current folder.
struct SandboxCommand {
  struct InputFile {
    std::string name;  // Without a slash; becomes /work/<name>.
    std::string bytes;
  };
  struct OutputFile {
    std::string name;  // Without a slash; read from /work/<name> after the end.
    std::uint64_t bytes_max = 0;
  };

  std::vector<std::string> argv;         // argv[0] is the program's absolute path.
  std::vector<std::string> environment;  // "NAME=value"; exactly this, nothing is inherited.
  // A second seccomp filter, an array of struct sock_filter, for a tracer that attaches while the
  // process is held. The policy's own decides first. Empty: none.
  std::string watch_filter;
  int stdin_fd = -1;           // Lent until Start returns; -1: /dev/null.
  std::vector<int> inherited;  // Lent the same; for zygotes.
  std::vector<InputFile> files;
  std::vector<OutputFile> collect;
  // A wall-clock limit for this run, where it is tighter than the policy's. 0: the policy's alone.
  std::chrono::milliseconds wall_clock_max{0};
  // In place of the policy's wall clock, for a process that its user times itself. 0: not so.
  std::chrono::milliseconds lifetime{0};
  std::size_t stream_tail_bytes = 64 << 10;   // Kept of stdout and of stderr, from their end.
  std::uint64_t stream_bytes_max = 64 << 20;  // Written to either, after which it is killed.
};

// One command in its own sandbox: prepared and held by Sandbox::Start, then verified, released and
// waited for, in that order, each once, by one thread; Kill from any. Destruction kills what still
// runs and leaves nothing behind. Whoever keeps a ready child holds one of these before Release.
class SandboxedProcess {
 public:
  virtual ~SandboxedProcess() = default;
  // Looks from outside at what the kernel says of the held process: that it is confined as wanted.
  // FailedPrecondition names the first difference; the process is then dead.
  virtual absl::Status Verify() = 0;
  // What the held process really has at `inside_path`, the place of one of its policy's binds, as
  // an O_PATH descriptor; between Verify and Release. The host's path may lead elsewhere by now.
  virtual absl::StatusOr<base::UniqueFd> OpenInside(const std::string& inside_path) const = 0;
  // Lets the command run; the wall clock starts. Refused unless Verify succeeded.
  virtual absl::Status Release() = 0;
  // Waits for the end, kills at a limit or when `stop` is requested, collects the outputs.
  virtual absl::StatusOr<SandboxOutcome> Wait(std::stop_token stop) = 0;
  // Kills every process of the sandbox now. Wait then reports kKilled. Thread-safe.
  virtual void Kill() = 0;
  // The held process in the pid namespace of the caller; for logs and tests.
  virtual int pid() const = 0;
  // Lets it compute only while nothing else wants to, or again like others, where the caller may
  // say so (root). Thread-safe.
  virtual void SetBackground(bool) {}
  // What the process has used so far, without its children; for one that answers before it ends.
  // Thread-safe.
  virtual ResourceUsage UsageSoFar() const { return {}; }
  // The layers in force, and those that permissive mode went without, as in the outcome.
  virtual std::vector<std::string> layers() const { return {}; }
  virtual std::vector<std::string> missing() const { return {}; }
};

class Zygote;

// Runs commands under policies. Thread-safe: many at once.
class Sandbox {
 public:
  virtual ~Sandbox() = default;
  virtual SandboxMode mode() const = 0;
  // Prepares the command up to the moment before its first instruction. The error of a layer that
  // cannot be had names the layer, the cause and the cure; nothing is left behind.
  virtual absl::StatusOr<std::unique_ptr<SandboxedProcess>> Start(const SandboxPolicy& policy,
                                                                  SandboxCommand command) = 0;
  // Runs `command` in a sandbox of its own as a zygote; see there. It finds what ncn_zygote_serve
  // takes at the descriptors kZygoteRequests and kZygoteDoorbell. Unimplemented in disabled mode.
  virtual absl::StatusOr<std::unique_ptr<Zygote>> StartZygote(const SandboxPolicy& policy,
                                                              SandboxCommand command);
  // Start, Verify, Release and Wait in one.
  absl::StatusOr<SandboxOutcome> Run(const SandboxPolicy& policy, SandboxCommand command,
                                     std::stop_token stop = {});
};

inline constexpr int kZygoteRequests = 5, kZygoteDoorbell = 6;

// A process in a sandbox that has loaded what is trusted and slow to load, and makes further
// sandboxes by forking itself. Destruction kills it and every child.
class Zygote {
 public:
  virtual ~Zygote() = default;
  // Where its children run. Start forks one, which goes on in the zygote's program once it is
  // released; the command's arguments and environment have no meaning then. Policies may show what
  // the zygote's own policy shows, at other places, and nothing else. Must not outlive the zygote.
  virtual Sandbox& children() = 0;
  // False for ever when the process has ended.
  virtual bool alive() const = 0;
  // In the pid namespace of the caller; for logs and tests.
  virtual int pid() const = 0;
};

// The path of a file beside the running program, or in ../bin of its folder.
std::string BesideProgram(std::string_view name);

struct SandboxOptions {
  SandboxMode mode = SandboxMode::kStrict;
  // Of bin/sandbox_launcher. Empty: beside the running program, then ../bin of it.
  std::string launcher_path;
};

// The sandbox of a mode. Starts the launcher process, so call it first thing in main, from the main
// thread, before any other thread exists. When the caller ends, in whatever way, so does
// everything.
absl::StatusOr<std::unique_ptr<Sandbox>> CreateSandbox(const SandboxOptions& options);

}  // namespace ncn::sandbox
