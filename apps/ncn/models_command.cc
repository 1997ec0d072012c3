#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "apps/ncn/models_commands.h"
#include "apps/sync_setup.h"
#include "base/strings.h"
#include "config/locations.h"
#include "models/model_store.h"
#include "node/control.h"
#include "sync/progress_text.h"

namespace ncn::apps {
namespace {

struct ModelsOptions {
  std::string control_socket = (config::DefaultStateDir() / "control.sock").native();
  std::string models_dir = "./models";
  bool json = false;
};

nlohmann::json ToJson(const node::ModelReport& model) {
  return {{"model", model.model},
          {"version", model.version},
          {"format", model.format},
          {"size_bytes", model.size_bytes},
          {"sha256", model.sha256},
          {"problems", model.problems},
          {"state", model.state},
          {"ready", model.ready},
          {"loading", model.loading},
          {"busy", model.busy},
          {"memory_bytes", model.memory_bytes},
          {"reason", model.reason},
          {"retry_after_ms", model.retry_after_ms},
          {"loading_for_ms", model.loading_for_ms},
          {"load_time_ms", model.load_time_ms},
          {"pinned", model.pinned},
          {"isolation", model.isolation}};
}

std::string ToLine(const node::ModelReport& model) {
  if (!model.problems.empty()) {
    return absl::StrFormat("%-24s %-12s %s\n", model.model, "UNUSABLE",
                           absl::StrJoin(model.problems, "; "));
  }
  std::string line = absl::StrFormat(
      "%-24s %-12s %-10s %-12s %-8s %10s  %-12s %5d %7d %4d %8.1f", model.model, model.state,
      model.version.substr(0, 10), model.format, model.isolation, sync::BytesText(model.size_bytes),
      model.sha256.substr(0, 12), model.ready, model.loading, model.busy,
      static_cast<double>(model.memory_bytes) / (1 << 20));
  if (model.pinned) line += "  pinned";
  if (!model.reason.empty()) {
    line += absl::StrFormat("  %s", model.reason);
  }
  if (model.state == "LOADING") {
    line += absl::StrFormat("  for %.1f s", static_cast<double>(model.loading_for_ms) / 1000);
    if (model.load_time_ms > 0) {
      line += absl::StrFormat(" of about %.1f s", static_cast<double>(model.load_time_ms) / 1000);
    }
  }
  if (model.retry_after_ms > 0) {
    line += absl::StrFormat("; tried again in %.1f s",
                            static_cast<double>(model.retry_after_ms) / 1000);
  }
  return line + "\n";
}

// Where no node runs, what is in the folder.
std::vector<node::ModelReport> ModelsIn(const std::string& folder) {
  const models::ModelStore store(folder);
  const auto synchronised =
      SynchronisedIn(folder).value_or(std::map<std::string, sync::InstalledModel>());
  std::vector<node::ModelReport> reports;
  for (const inference::ModelId& id : store.List()) {
    const auto model = store.Find(id);
    if (!model.ok()) continue;
    reports.push_back({.model = id.value(),
                       .format = std::string(models::Name((*model)->format)),
                       .size_bytes = (*model)->tree_size_bytes,
                       .sha256 = (*model)->tree_sha256,
                       .state = "-",
                       .version = VersionOf(**model, synchronised)});
  }
  for (const auto& [name, problem] : store.Problems()) {
    reports.push_back({.model = name, .problems = {std::string(problem.message())}});
  }
  return reports;
}

int List(const ModelsOptions& options) {
  const auto client = node::ControlClient::Make(options.control_socket);
  auto models = client->ListModels();
  if (absl::IsNotFound(models.status())) {
    std::fprintf(stderr, "No node runs (%s); these are the models in %s:\n",
                 options.control_socket.c_str(), options.models_dir.c_str());
    models = ModelsIn(options.models_dir);
  }
  if (!models.ok()) return Fail(models.status());
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const node::ModelReport& model : *models) list.push_back(ToJson(model));
    std::printf("%s\n", list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return 0;
  }
  std::printf("%-24s %-12s %-10s %-12s %-8s %10s  %-12s %5s %7s %4s %8s\n", "MODEL", "STATE",
              "VERSION", "FORMAT", "LEVEL", "SIZE", "SHA256", "READY", "LOADING", "BUSY", "MiB");
  for (const node::ModelReport& model : *models) std::printf("%s", ToLine(model).c_str());
  return 0;
}

}  // namespace

void AddModelsCommand(CLI::App& app, Chosen& chosen) {
  CLI::App* models =
      app.add_subcommand("models", "Look after models: list (by default), fetch, verify, publish");
  models->require_subcommand(0, 1);
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* list = models->add_subcommand(
      "list", "A running node's models and the sandboxes that wait with them loaded");
  // Without a subcommand the models are listed.
  for (CLI::App* command : {models, list}) {
    command
        ->add_option("--control-socket", options->control_socket,
                     "The node's control socket, in its --state-dir")
        ->capture_default_str();
    command->add_option("--models-dir", options->models_dir, "Folder to list when no node runs")
        ->capture_default_str();
    command->add_flag("--json", options->json, "As a JSON array");
  }
  const auto choose_list = [&chosen, options] {
    chosen.run = [options] { return List(*options); };
  };
  list->callback(choose_list);
  models->callback([models, choose_list] {
    if (models->get_subcommands().empty()) choose_list();
  });
  AddModelsFolderCommands(*models, chosen);
  AddModelsPull(*models, chosen);
  AddPublishCommand(*models, chosen, "push");
}

}  // namespace ncn::apps
