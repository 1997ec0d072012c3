#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/model_store.h"

namespace ncn::executors {

// The script that runs a model.
struct ExecutorScript {
  std::string name;         // "generic_model_executor.py"; with the model's name before a colon
                            // when it came with the model.
  std::string inside_path;  // Where a sandbox sees it.
  std::string sha256;       // Over the code: all of the executors' folder, or of the model's.
};

// Where a sandbox sees the node's executor scripts and the model.
inline constexpr char kExecutorsInside[] = "/executors";
inline constexpr char kModelInside[] = "/model";

// Chooses executor scripts: those of Bark and its stages by the model's name, otherwise the one
// that the model's manifest names, otherwise the generic one. Thread-safe.
class ExecutorSelector {
 public:
  // Reads the scripts in `executors_path` once, to hash them. NotFound when the generic executor is
  // not there, naming --python-executor-path.
  static absl::StatusOr<ExecutorSelector> Create(const std::filesystem::path& executors_path);

  // At least one script, best first. NotFound when the manifest names one that does not exist.
  absl::StatusOr<std::vector<ExecutorScript>> Candidates(const models::Model& model) const;

  const std::filesystem::path& executors_path() const { return executors_path_; }

 private:
  ExecutorSelector(std::filesystem::path executors_path, std::string sha256)
      : executors_path_(std::move(executors_path)), sha256_(std::move(sha256)) {}

  bool Has(const std::string& script) const;
  ExecutorScript Own(const std::string& script) const;

  std::filesystem::path executors_path_;
  std::string sha256_;
};

}  // namespace ncn::executors
