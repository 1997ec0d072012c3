#include "sync/models_folder.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "apps/ncn/models_commands.h"
#include "apps/sync_setup.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "models/model_store.h"
#include "models/store_files.h"
#include "sync/progress_text.h"
#include "sync/synchronizer.h"

namespace ncn::apps {
namespace {

using nlohmann::json;

struct FolderOptions {
  config::SyncConfig sync;
  std::vector<std::string> models;
  bool json = false;
  bool force = false;
  bool dry_run = false;
};

void Print(const json& value) {
  std::printf("%s\n", value.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

// The model's files with their hashes, read once more.
absl::StatusOr<json> FilesOf(const models::Model& model) {
  ASSIGN_OR_RETURN(const models::FolderFd folder,
                   models::FolderFd::Open(model.is_folder ? model.root : model.root.parent_path()));
  json files = json::array();
  for (const models::TreeFile& file : *model.files) {
    ASSIGN_OR_RETURN(const models::FolderFd::File opened, folder.OpenListed(file));
    ASSIGN_OR_RETURN(const base::Digest digest, base::Sha256OfFile(opened.fd.get()));
    files.push_back({{"path", file.path},
                     {"size_bytes", file.identity.size_bytes},
                     {"sha256", base::AsHex(digest)}});
  }
  return files;
}

void PrintRows(const nlohmann::ordered_json& object) {
  for (const auto& [name, value] : object.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : std::string();
    if (!text.empty()) std::printf("%-16s %s\n", name.c_str(), base::OneLine(text).c_str());
  }
  std::printf("%-16s %s\n", "size", sync::BytesText(object["size_bytes"]).c_str());
  for (const auto& file : object["files"]) {
    std::printf("%s %10s  %s\n", file["sha256"].get<std::string>().c_str(),
                sync::BytesText(file["size_bytes"]).c_str(),
                base::OneLine(file["path"].get<std::string>()).c_str());
  }
}

int Show(const FolderOptions& options) {
  const auto id = inference::ModelId::Parse(options.models.front());
  if (!id.ok()) return Fail(id.status());
  const models::ModelStore store(options.sync.models_dir);
  const auto model = store.Find(*id);
  if (!model.ok()) return Fail(model.status());
  const auto installed = SynchronisedIn(options.sync.models_dir);
  if (!installed.ok()) return Fail(installed.status());
  const auto files = FilesOf(**model);
  if (!files.ok()) return Fail(files.status());
  const auto from = installed->find(id->value());
  const models::Manifest& manifest = (*model)->manifest;
  const nlohmann::ordered_json object = {
      {"model", id->value()},
      {"version", VersionOf(**model, *installed)},
      {"format", models::Name((*model)->format)},
      {"file", (*model)->file.native()},
      {"size_bytes", (*model)->tree_size_bytes},
      {"sha256", (*model)->tree_sha256},
      {"executor_script", manifest.executor_script},
      {"license", manifest.license},
      {"description", manifest.description},
      {"from", from != installed->end() ? base::StrCat("subnet ", from->second.subnet_id)
                                        : std::string("this machine")},
      {"files", *files}};
  if (options.json) {
    Print(object);
  } else {
    PrintRows(object);
  }
  return 0;
}

// Reads every file, whatever was remembered of it.
int Verify(const FolderOptions& options) {
  const models::ModelStore store(options.sync.models_dir);
  const auto installed = SynchronisedIn(options.sync.models_dir);
  if (!installed.ok()) return Fail(installed.status());
  std::map<std::string, std::string> problems;  // Of each model; empty: it is all right.
  for (const inference::ModelId& id : store.List()) {
    const auto model = store.Find(id);
    const auto from = installed->find(id.value());
    const bool changed =
        model.ok() && from != installed->end() && from->second.tree_sha256 != (*model)->tree_sha256;
    problems[id.value()] = !model.ok() ? std::string(model.status().message())
                           : changed   ? "changed since it was synchronised; `ncn models pull` "
                                         "fetches it anew"
                                       : "";
  }
  for (const auto& [name, problem] : store.Problems()) {
    problems[name] = std::string(problem.message());
  }
  for (const auto& [name, model] : *installed) problems.try_emplace(name, "is missing");
  for (const std::string& name : options.models)
    problems.try_emplace(name, "there is no such model");
  json list = json::array();
  bool all_good = true;
  for (const auto& [name, problem] : problems) {
    const bool asked =
        options.models.empty() ||
        std::find(options.models.begin(), options.models.end(), name) != options.models.end();
    if (!asked) continue;
    all_good &= problem.empty();
    list.push_back({{"model", name}, {"ok", problem.empty()}, {"problem", problem}});
    if (!options.json) {
      std::printf("%-24s %s\n", name.c_str(), problem.empty() ? "ok" : problem.c_str());
    }
  }
  if (options.json) Print(list);
  return all_good ? 0 : 1;
}

// "removed", when its subnet can bring it back, or "deleted".
absl::StatusOr<std::string> RemoveOne(sync::ModelsFolder& folder, const std::string& name,
                                      bool force) {
  const absl::Status retired = folder.Retire(name);
  if (retired.ok()) return std::string("removed");
  if (!absl::IsNotFound(retired)) return retired;
  ASSIGN_OR_RETURN(const auto id, inference::ModelId::Parse(name));
  ASSIGN_OR_RETURN(const auto model, models::ModelStore(folder.path()).Find(id));
  if (!force) {
    return absl::FailedPreconditionError(
        base::StrCat(name, " was not synchronised: nothing brings ", model->root.native(),
                     " back; delete it with --force"));
  }
  std::error_code error;
  std::filesystem::remove_all(model->root, error);
  if (error) return absl::InternalError(base::StrCat(model->root.native(), ": ", error.message()));
  return std::string("deleted");
}

int Remove(const FolderOptions& options) {
  auto folder = sync::ModelsFolder::Open(options.sync.models_dir);
  if (!folder.ok()) return Fail(folder.status());
  json list = json::array();
  bool all_good = true;
  for (const std::string& name : options.models) {
    const auto outcome = RemoveOne(**folder, name, options.force);
    all_good &= outcome.ok();
    list.push_back({{"model", name},
                    {"outcome", outcome.ok() ? *outcome : "failed"},
                    {"error", std::string(outcome.status().message())}});
    if (!outcome.ok()) {
      Fail(outcome.status());
    } else if (!options.json) {
      std::printf("%s %s%s\n", name.c_str(), outcome->c_str(),
                  *outcome == "removed" ? "; a node that follows its subnet fetches it again" : "");
    }
  }
  if (options.json) Print(list);
  return all_good ? 0 : 1;
}

int CollectGarbage(const FolderOptions& options) {
  auto folder = sync::ModelsFolder::Open(options.sync.models_dir);
  if (!folder.ok()) return Fail(folder.status());
  models::ModelStore store(options.sync.models_dir);
  sync::Synchronizer synchronizer(**folder, store, SynchronizerOptionsOf(options.sync, ""));
  const auto freed = synchronizer.CollectGarbage(options.dry_run);
  if (!freed.ok()) return Fail(freed.status());
  if (options.json) {
    Print({{"freed_bytes", *freed}, {"dry_run", options.dry_run}});
  } else {
    std::printf("%s of old versions %s\n", sync::BytesText(*freed).c_str(),
                options.dry_run ? "would be deleted" : "deleted");
  }
  return 0;
}

}  // namespace

void AddModelsFolderCommands(CLI::App& models, Chosen& chosen) {
  auto options = std::make_shared<FolderOptions>();
  const auto add = [&](const char* name, const char* text, int (*run)(const FolderOptions&)) {
    CLI::App* command = models.add_subcommand(name, text);
    command->add_option("--models-dir", options->sync.models_dir, "The folder")
        ->envname("MODELS_DIR")
        ->capture_default_str();
    command->callback(
        [&chosen, options, run] { chosen.run = [options, run] { return run(*options); }; });
    return command;
  };
  CLI::App* show = add("show", "Show a model's files, hashes and origin", Show);
  show->add_option("model", options->models, "Its name")->required()->expected(1);
  show->add_flag("--json", options->json, "As a JSON object");
  CLI::App* verify = add("verify", "Read every file and compare it with what it must be", Verify);
  verify->add_option("models", options->models, "Only these; all otherwise");
  verify->add_flag("--json", options->json, "As a JSON array");
  CLI::App* remove = add("rm", "Remove models from the folder", Remove);
  remove->add_option("models", options->models, "Their names")->required();
  remove->add_flag("--force", options->force, "Those that were not synchronised, too");
  remove->add_flag("--json", options->json, "What became of each, as a JSON array");
  CLI::App* collect = add("gc", "Delete old versions that nobody uses", CollectGarbage);
  collect->add_flag("--dry-run", options->dry_run, "Only say how much");
  collect->add_flag("--json", options->json, "As a JSON object");
  collect
      ->add_option("--models-disk-budget", options->sync.disk_budget_mb,
                   "Keep old versions as long as all fits into so many MiB")
      ->envname("MODELS_DISK_BUDGET");
}

}  // namespace ncn::apps
