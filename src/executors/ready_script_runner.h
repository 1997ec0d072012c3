#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>

#include "base/synchronized.h"
#include "executors/model_cache.h"
#include "executors/script_runner.h"
#include "executors/zygote_child.h"
#include "executors/zygotes.h"

namespace ncn::executors {

// How far apart requests are kept.
enum class Isolation {
  kRequest,  // A new sandbox, made ahead, for each.
  kRewind,   // A sandbox that is made what it was before the last request.
  kTenant,   // A sandbox may serve the next request of the same client, never another's.
  kCold,     // A new sandbox and a new interpreter for each.
};
std::string_view Name(Isolation isolation);
std::optional<Isolation> IsolationFromName(std::string_view name);

// Runs executors in ready sandboxes, and where there are none in `cold` ones. Thread-safe.
class ReadyScriptRunner final : public ScriptRunner {
 public:
  struct Options {
    inference::ExecutionLimits limits;
    std::chrono::milliseconds load_time_max = std::chrono::minutes(5);  // Of one child.
    std::uint32_t threads = 1;  // That one request may compute with.
    Isolation isolation = Isolation::kRequest;
    std::map<std::string, Isolation> isolation_of;  // Of single models, in place of that.
    // Whether processes can be rewound here (rewind::CheckKernel): children are then made from the
    // snapshot of one that has loaded the model.
    bool snapshots = false;
    ModelCache::Options cache;
  };
  // All but the options outlive the runner. `cold` runs what is not to be, or cannot be, run here.
  ReadyScriptRunner(Zygotes& zygotes, ScriptRunner& cold, sandbox::SandboxMode mode,
                    RuntimeEnvironment environment, std::filesystem::path executors_path,
                    Options options, const base::Clock& clock);

  Outcome Run(const ScriptTask& task) override;
  // Begins to load a model before anybody asks for it.
  void Preload(const models::Model& model, const Executor& executor);
  // Lets go of everything that was made of a model, which has been replaced or removed; what runs
  // ends as it began. Whether there was anything ready, or about to be.
  bool Forget(const inference::ModelId& model);
  std::vector<CacheEntry> Entries() const { return cache_.Entries(); }
  Isolation LevelOf(const models::Model& model) const;

 private:
  // A recipe, and what it was made for.
  struct KnownRecipe {
    std::shared_ptr<const Recipe> recipe;
    std::string executor_sha256;
    std::filesystem::path root;
    std::shared_ptr<const std::vector<models::TreeFile>> files;
  };

  absl::StatusOr<std::shared_ptr<const Recipe>> RecipeFor(const models::Model& model,
                                                          const Executor& executor);
  absl::StatusOr<Recipe> MakeRecipe(const models::Model& model, const Executor& executor,
                                    std::string version);
  // Borrows a child and asks it.
  Outcome RunReady(const ScriptTask& task, Isolation level, const Recipe& recipe,
                   base::SteadyTime began);
  Outcome Ask(std::unique_ptr<ReadyChild> child, const ScriptTask& task, Isolation level,
              const Recipe& recipe, base::SteadyTime began);

  // StartChild; Unavailable when the zygote, or somebody else, took the child away.
  absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, inference::Failure>> MakeOnce(
      std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy,
      const LoadOrder& order, const models::Model& model, const std::string& version,
      std::stop_token stop);
  // ZygoteChild::Start, once more without a rewind when that is what cannot be had.
  absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, inference::Failure>> StartChild(
      std::shared_ptr<sandbox::Zygote> zygote, const sandbox::SandboxPolicy& policy,
      LoadOrder order, const models::Model& model, const std::string& version,
      std::stop_token stop);

  Zygotes& zygotes_;
  ScriptRunner& cold_;
  const sandbox::SandboxMode mode_;
  const RuntimeEnvironment environment_;
  const std::filesystem::path executors_path_;
  const Options options_;
  const base::Clock& clock_;
  // By model and executor.
  base::Synchronized<std::map<std::pair<std::string, std::string>, KnownRecipe>> recipes_;
  std::atomic<std::uint64_t> versions_ = 0;  // So far.
  // Why children of a recipe, by its version, are not rewound.
  base::Synchronized<std::map<std::string, std::string>> cannot_rewind_;
  ModelCache cache_;
};

}  // namespace ncn::executors
