#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/synchronized.h"
#include "executors/executor_selector.h"
#include "executors/runtime_environment.h"
#include "inference/limits.h"
#include "models/model_format.h"
#include "sandbox/sandbox.h"

namespace ncn::executors {

// What a zygote has loaded before it forks. Not together: torch and onnxruntime of one process get
// into each other's way. kNative is the native executor's, the others are Python's; kPlain is for
// scripts that bring what they need.
enum class Framework { kTorch, kOnnxRuntime, kNative, kPlain };
std::string_view Name(Framework framework);
// The one for an executor of this model. A script of the model's own that speaks of no framework
// has no use for one.
Framework FrameworkFor(const Executor& executor, const models::Model& model);

// The node's zygotes, one for each framework: started, and started again when one dies, with a
// pause that doubles. Thread-safe.
class Zygotes {
 public:
  struct Options {
    std::filesystem::path executors_path;
    std::filesystem::path library;         // libncn_zygote.so
    std::filesystem::path native_program;  // The native executor's; empty without it.
    // The folders whose models children may show. They need not be there yet.
    std::vector<std::filesystem::path> models;
    inference::ExecutionLimits limits;
  };
  // `sandbox` and `clock` outlive the zygotes.
  Zygotes(sandbox::Sandbox& sandbox, RuntimeEnvironment environment, Options options,
          const base::Clock& clock);

  // The zygote, another one when it does not show the folders of models that are there now; its
  // children live on. It may still be importing: a child then takes until it is done. Unavailable,
  // with the time of the next try, after one that has just died; any error of Sandbox::StartZygote.
  absl::StatusOr<std::shared_ptr<sandbox::Zygote>> Get(Framework framework);
  // Starts again those that have been asked for and have ended, as far as their pauses are over, so
  // that no request has to find out. To be called now and then.
  void Tend();

 private:
  // Which folder was at a path; zeros: none.
  struct FolderSeen {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    friend bool operator==(const FolderSeen&, const FolderSeen&) = default;
  };
  struct Slot {
    bool wanted = false;  // Somebody has asked for one.
    std::shared_ptr<sandbox::Zygote> zygote;
    std::vector<FolderSeen> models;  // As it shows them.
    base::SteadyTime started_at;
    base::SteadyTime retry_at;
    int deaths = 0;  // In a row.
  };

  std::vector<FolderSeen> LookAtModels() const;
  absl::StatusOr<std::unique_ptr<sandbox::Zygote>> Start(
      Framework framework, const std::vector<FolderSeen>& models) const;
  sandbox::SandboxCommand CommandFor(Framework framework) const;

  sandbox::Sandbox& sandbox_;
  const RuntimeEnvironment environment_;
  const Options options_;
  const base::Clock& clock_;
  std::array<base::Synchronized<Slot>, 4> slots_;  // By framework.
};

}  // namespace ncn::executors
