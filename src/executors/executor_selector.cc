#include "executors/executor_selector.h"

#include <algorithm>
#include <array>
#include <map>
#include <system_error>

#include "absl/strings/ascii.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::executors {
namespace fs = std::filesystem;
namespace {

constexpr char kGenericScript[] = "generic_model_executor.py";
constexpr std::size_t kScriptBytesMax = 4 << 20;
constexpr std::size_t kScriptsMax = 1024;
constexpr std::size_t kProgramBytesMax = 64 << 20;
// Of requests and answers that the native executor reads and writes.
constexpr std::array<std::string_view, 2> kNativeTypes = {"application/json",
                                                          "application/x-safetensors"};

const std::map<std::string, std::string>& ScriptsByModel() {
  static const auto* const scripts = new std::map<std::string, std::string>{
      {"bark", "bark_model_executor.py"},
      {"bark_semantic", "semantic_model_executor.py"},
      {"bark_coarse", "coarse_model_executor.py"},
      {"bark_fine", "fine_model_executor.py"},
  };
  return *scripts;
}

// Every Python file that a script can import: not the environment, not tests, nothing hidden.
absl::StatusOr<std::vector<fs::path>> CodeFiles(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator walk(folder, error);
  for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    const std::string name = walk->path().filename();
    if (walk->is_directory(error) && (name == "venv" || name == "tests" || name.starts_with("."))) {
      walk.disable_recursion_pending();
    } else if (walk->is_regular_file(error) && walk->path().extension() == ".py") {
      files.push_back(walk->path());
    }
    if (files.size() > kScriptsMax) {
      return absl::ResourceExhaustedError(
          base::StrCat("more than ", kScriptsMax, " scripts in ", folder.native()));
    }
  }
  if (error) {
    return absl::NotFoundError(base::StrCat("cannot read executor scripts in ", folder.native(),
                                            ": ", error.message(),
                                            "; check --python-executor-path"));
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<std::string> HashOfCode(const fs::path& folder) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, CodeFiles(folder));
  base::Sha256Hasher hasher;
  for (const fs::path& file : files) {
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(file, kScriptBytesMax));
    // Name and hash are of fixed form, so that no two trees give the same stream.
    hasher.Update(base::StrCat(fs::relative(file, folder).native(), "\n",
                               base::AsHex(base::Sha256(text)), "\n"));
  }
  return base::AsHex(hasher.Finish());
}

// "Application/JSON; charset=utf-8" is "application/json".
std::string MediaType(std::string_view text) {
  return absl::AsciiStrToLower(
      absl::StripAsciiWhitespace(base::ToAbsl(text.substr(0, text.find(';')))));
}

bool IsNativeType(std::string_view text) {
  return std::find(kNativeTypes.begin(), kNativeTypes.end(), MediaType(text)) != kNativeTypes.end();
}

// Whether the native executor is for this model, as far as can be told without loading it, and for
// requests of this form. It decodes neither images nor sounds, checks no more than names, types,
// shapes and that numbers are finite, and what has no known form is not its to guess.
bool SuitsNative(const models::Model& model, std::string_view content_type,
                 std::string_view accept) {
  const auto& inputs = model.manifest.inputs;
  const bool particular =
      std::any_of(inputs.begin(), inputs.end(), [](const models::TensorSpec& input) {
        return input.preprocess || input.audio || input.optional || input.allow_empty ||
               input.minimum || input.maximum;
      });
  if (model.format != models::ModelFormat::kOnnx || particular || !IsNativeType(content_type)) {
    return false;
  }
  bool accepted = MediaType(accept).empty();
  for (std::string_view rest = accept; !rest.empty() && !accepted;) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string type = MediaType(rest.substr(0, comma));
    accepted = IsNativeType(type) || type == "*/*" || type == "application/*";
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return accepted;
}

}  // namespace

absl::StatusOr<ExecutorSelector> ExecutorSelector::Create(const fs::path& executors_path,
                                                          const fs::path& native_program) {
  std::error_code error;
  const fs::path absolute = fs::canonical(executors_path, error);
  if (error || !fs::is_regular_file(absolute / kGenericScript, error)) {
    return absl::NotFoundError(base::StrCat("no ", kGenericScript, " in ", executors_path.native(),
                                            "; --python-executor-path (PYTHON_EXECUTOR_PATH) must "
                                            "name the folder of the executor scripts"));
  }
  ASSIGN_OR_RETURN(std::string sha256, HashOfCode(absolute));
  std::optional<Executor> native;
  if (!native_program.empty()) {
    ASSIGN_OR_RETURN(const std::string program, base::ReadFile(native_program, kProgramBytesMax));
    native = Executor{.name = native_program.filename(),
                      .inside_path = kNativeInside,
                      .sha256 = base::AsHex(base::Sha256(program)),
                      .program = native_program};
  }
  return ExecutorSelector(absolute, std::move(sha256), std::move(native));
}

absl::StatusOr<std::vector<Executor>> ExecutorSelector::Candidates(const models::Model& model,
                                                                   std::string_view content_type,
                                                                   std::string_view accept) const {
  std::vector<Executor> executors;
  const auto stage = ScriptsByModel().find(model.id.value());
  if (stage != ScriptsByModel().end() && Has(stage->second))
    executors.push_back(Own(stage->second));
  if (const std::string& script = model.manifest.executor_script; !script.empty()) {
    std::error_code error;
    if (fs::is_regular_file(model.root / script, error)) {
      executors.push_back({.name = base::StrCat(model.id.value(), ":", script),
                           .inside_path = base::StrCat(kModelInside, "/", script),
                           .sha256 = model.tree_sha256,
                           .program = {}});
    } else if (Has(script)) {
      executors.push_back(Own(script));
    } else {
      return absl::NotFoundError(base::StrCat(
          "the manifest of model ", model.id.value(), " names the executor script ", script,
          ", which is neither in the model's folder nor in ", executors_path_.native()));
    }
  }
  if (executors.empty() && native_ && SuitsNative(model, content_type, accept)) {
    executors.push_back(*native_);
  }
  if (executors.empty() || executors.back().name != kGenericScript) {
    executors.push_back(Own(kGenericScript));
  }
  return executors;
}

absl::StatusOr<Executor> ExecutorSelector::Named(const std::string& script) const {
  if (script.find('/') != std::string::npos || !Has(script)) {
    return absl::NotFoundError(
        base::StrCat("there is no executor script ", script, " in ", executors_path_.native()));
  }
  return Own(script);
}

bool ExecutorSelector::Has(const std::string& script) const {
  std::error_code error;
  return fs::is_regular_file(executors_path_ / script, error);
}

Executor ExecutorSelector::Own(const std::string& script) const {
  return {.name = script,
          .inside_path = base::StrCat(kExecutorsInside, "/", script),
          .sha256 = sha256_,
          .program = {}};
}

}  // namespace ncn::executors
