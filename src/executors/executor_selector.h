#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "models/model_store.h"

namespace ncn::executors {

// What runs a model: a script for the environment's Python, or the native executor.
struct Executor {
  std::string name;         // "generic_model_executor.py"; with the model's name before a colon
                            // when it came with the model.
  std::string inside_path;  // Where a sandbox sees it.
  std::string sha256;       // Over the code: all of the executors' folder, or of the model's; of
                            // the native executor, its program.
  std::filesystem::path program;  // Of the native executor, on the host; empty for scripts.

  bool native() const { return !program.empty(); }
};

// Where a sandbox sees the node's executor scripts and the model.
inline constexpr char kExecutorsInside[] = "/executors";
inline constexpr char kModelInside[] = "/model";
inline constexpr char kNativeInside[] = "/native/ncn_native_executor";

// Chooses executors: the scripts of Bark and its stages by the model's name, otherwise the one that
// the model's manifest names, otherwise the native one, then the generic one. Thread-safe.
class ExecutorSelector {
 public:
  // Reads the scripts in `executors_path` and the program of the native executor (empty: there is
  // none) once, to hash them. NotFound when the generic executor is not there, naming
  // --python-executor-path.
  static absl::StatusOr<ExecutorSelector> Create(const std::filesystem::path& executors_path,
                                                 const std::filesystem::path& native_program = {});

  // At least one executor, best first, for requests of a form and for an answer that is accepted.
  // NotFound when the manifest names a script that does not exist.
  absl::StatusOr<std::vector<Executor>> Candidates(
      const models::Model& model, std::string_view content_type = "application/json",
      std::string_view accept = "") const;

  // The script of that name in the node's own folder. NotFound when there is none.
  absl::StatusOr<Executor> Named(const std::string& script) const;

  const std::filesystem::path& executors_path() const { return executors_path_; }

 private:
  ExecutorSelector(std::filesystem::path executors_path, std::string sha256,
                   std::optional<Executor> native)
      : executors_path_(std::move(executors_path)),
        sha256_(std::move(sha256)),
        native_(std::move(native)) {}

  bool Has(const std::string& script) const;
  Executor Own(const std::string& script) const;

  std::filesystem::path executors_path_;
  std::string sha256_;
  std::optional<Executor> native_;
};

}  // namespace ncn::executors
