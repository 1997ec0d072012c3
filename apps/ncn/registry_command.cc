#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "apps/ncn/command.h"
#include "apps/ncn/models_commands.h"
#include "apps/ncn/publishing.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "config/locations.h"
#include "executors/executor_report.h"
#include "registry/registry_client.h"
#include "signing/wallet.h"

namespace ncn::apps {
namespace {

using executors::Printable;
using nlohmann::json;

struct RegistryCommandOptions {
  std::string registry_address = "http://127.0.0.1:50050";
  std::string wallet_file = (config::DefaultStateDir() / "wallet.key").native();
  std::uint32_t subnet_id = 1;
  std::string name;  // Of a new subnet.
  ModelToPublish model;
  std::uint64_t memory_mb_min = 0;
  bool upload = false;
  std::string unpublish;
  wire::NodeQuery query;
  bool json = false;
};

absl::StatusOr<std::unique_ptr<registry::RegistryClient>> Connect(
    const RegistryCommandOptions& options) {
  return registry::RegistryClient::Make(options.registry_address, {});
}

double MiB(std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

void Print(const json& value) {
  std::printf("%s\n", value.dump(2, ' ', false, json::error_handler_t::replace).c_str());
}

json ToJson(const inference::SubnetModel& model) {
  json files = json::array();
  for (const inference::SubnetFile& file : model.files) {
    files.push_back({{"path", file.path},
                     {"size_bytes", file.size_bytes},
                     {"sha256", file.sha256},
                     {"sources", file.sources},
                     {"unpack", file.unpack}});
  }
  return {{"model", model.model.value()},
          {"version", model.version},
          {"format", model.format},
          {"files", files},
          {"executor_script", model.executor_script},
          {"memory_bytes_min", model.memory_bytes_min}};
}

json ToJson(const inference::Subnet& subnet) {
  return {{"subnet_id", subnet.subnet_id},
          {"name", subnet.name},
          {"owner", subnet.owner_address},
          {"version", subnet.version}};
}

json WithModels(const inference::Subnet& subnet) {
  json value = ToJson(subnet);
  value["signed"] = !subnet.owner_signature.empty();
  value["models"] = json::array();
  for (const inference::SubnetModel& model : subnet.models) {
    value["models"].push_back(ToJson(model));
  }
  return value;
}

// How far uploads are: one line that changes on a terminal, a line for each file elsewhere.
class UploadDisplay {
 public:
  void Show(const LocalFile& local, std::uint64_t held) {
    const bool done = held >= local.file.size_bytes;
    if (local.file.path != path_) {
      path_ = local.file.path;
      began_ = std::chrono::steady_clock::now();
      first_held_ = held;
      done_ = false;
    }
    if (done_ || (!done && !terminal_)) return;
    done_ = done;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began_;
    const double rate = took.count() > 0 ? MiB(held - first_held_) / took.count() : 0;
    const double share =
        local.file.size_bytes == 0
            ? 100.0
            : 100.0 * static_cast<double>(held) / static_cast<double>(local.file.size_bytes);
    std::fprintf(stderr, "%s  %s  %5.1f %% of %.1f MiB  %.0f MiB/s%s", terminal_ ? "\r" : "",
                 Printable(path_, 60).c_str(), share, MiB(local.file.size_bytes), rate,
                 terminal_ && !done ? "\x1b[K" : "\n");
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::string path_;
  std::chrono::steady_clock::time_point began_;
  std::uint64_t first_held_ = 0;
  bool done_ = false;
};

absl::Status Create(const RegistryCommandOptions& options) {
  ASSIGN_OR_RETURN(const auto wallet, signing::Wallet::Load(options.wallet_file));
  ASSIGN_OR_RETURN(const auto registry, Connect(options));
  ASSIGN_OR_RETURN(const auto subnet,
                   CreateSubnet(*registry, wallet, options.subnet_id, options.name));
  if (options.json) {
    Print(WithModels(subnet));
  } else {
    std::printf("Created subnet %u, owned by %s\n", subnet.subnet_id, subnet.owner_address.c_str());
  }
  return absl::OkStatus();
}

absl::Status CreateIfMissing(registry::RegistryClient& registry, const signing::Wallet& wallet,
                             const RegistryCommandOptions& options) {
  const absl::Status found = registry.GetSubnet(options.subnet_id).status();
  if (!absl::IsNotFound(found)) return found;
  const absl::Status created =
      CreateSubnet(registry, wallet, options.subnet_id, options.name).status();
  if (absl::IsAlreadyExists(created)) return absl::OkStatus();  // Somebody was faster.
  if (created.ok()) std::fprintf(stderr, "Created subnet %u\n", options.subnet_id);
  return created;
}

absl::Status Publish(const RegistryCommandOptions& options) {
  ASSIGN_OR_RETURN(const auto wallet, signing::Wallet::Load(options.wallet_file));
  ModelToPublish wanted = options.model;
  wanted.memory_bytes_min = options.memory_mb_min << 20;
  ASSIGN_OR_RETURN(const DescribedModel described, Describe(wanted));
  ASSIGN_OR_RETURN(const auto registry, Connect(options));
  RETURN_IF_ERROR(CreateIfMissing(*registry, wallet, options));
  if (wanted.sources.empty() || options.upload) {
    UploadDisplay display;
    RETURN_IF_ERROR(UploadFiles(
        *registry, wallet, options.subnet_id, described,
        [&](const LocalFile& local, std::uint64_t held) { display.Show(local, held); }));
  }
  ASSIGN_OR_RETURN(const auto subnet, ChangeSubnet(*registry, wallet, options.subnet_id,
                                                   [&](inference::Subnet& changed) {
                                                     return ReplaceModel(changed, described.model);
                                                   }));
  if (options.json) {
    Print(WithModels(subnet));
    return absl::OkStatus();
  }
  std::uint64_t bytes = 0;
  for (const inference::SubnetFile& file : described.model.files) bytes += file.size_bytes;
  std::printf("Published %s version %s (%s, %zu files, %.1f MiB) in subnet %u, now version %llu\n",
              described.model.model.value().c_str(), described.model.version.c_str(),
              described.model.format.c_str(), described.model.files.size(), MiB(bytes),
              subnet.subnet_id, static_cast<unsigned long long>(subnet.version));
  return absl::OkStatus();
}

absl::Status Unpublish(const RegistryCommandOptions& options) {
  ASSIGN_OR_RETURN(const auto wallet, signing::Wallet::Load(options.wallet_file));
  ASSIGN_OR_RETURN(const auto registry, Connect(options));
  ASSIGN_OR_RETURN(const auto subnet, ChangeSubnet(*registry, wallet, options.subnet_id,
                                                   [&](inference::Subnet& changed) {
                                                     return RemoveModel(changed, options.unpublish);
                                                   }));
  if (options.json) {
    Print(WithModels(subnet));
  } else {
    std::printf("Took %s out of subnet %u, now version %llu\n", options.unpublish.c_str(),
                subnet.subnet_id, static_cast<unsigned long long>(subnet.version));
  }
  return absl::OkStatus();
}

absl::Status Show(const RegistryCommandOptions& options) {
  ASSIGN_OR_RETURN(const auto registry, Connect(options));
  ASSIGN_OR_RETURN(const auto subnet, registry->GetSubnet(options.subnet_id));
  if (options.json) {
    Print(WithModels(subnet));
    return absl::OkStatus();
  }
  std::printf("subnet   %u  %s\nowner    %s%s\nversion  %llu\n\n", subnet.subnet_id,
              Printable(subnet.name, 128).c_str(), subnet.owner_address.c_str(),
              subnet.owner_signature.empty() ? "  (NOT SIGNED)" : "  (signature verified)",
              static_cast<unsigned long long>(subnet.version));
  std::printf("%-24s %-10s %-12s %5s %10s  %s\n", "MODEL", "VERSION", "FORMAT", "FILES", "MiB",
              "SOURCES");
  for (const inference::SubnetModel& model : subnet.models) {
    std::uint64_t bytes = 0;
    for (const inference::SubnetFile& file : model.files) bytes += file.size_bytes;
    const auto& sources = model.files.front().sources;
    std::printf("%-24s %-10s %-12s %5zu %10.1f  %s\n", model.model.value().c_str(),
                Printable(model.version, 40).c_str(), model.format.c_str(), model.files.size(),
                MiB(bytes), sources.empty() ? "none" : Printable(sources.front(), 60).c_str());
  }
  return absl::OkStatus();
}

absl::Status List(const RegistryCommandOptions& options) {
  ASSIGN_OR_RETURN(const auto registry, Connect(options));
  json list = json::array();
  if (!options.json) std::printf("%-10s %-24s %-44s %s\n", "SUBNET", "NAME", "OWNER", "VERSION");
  for (std::uint32_t after = 0;;) {
    ASSIGN_OR_RETURN(const auto page, registry->ListSubnets(after, 0));
    if (page.empty()) break;
    after = page.back().subnet_id;
    for (const inference::Subnet& subnet : page) {
      if (options.json) {
        list.push_back(ToJson(subnet));
      } else {
        std::printf("%-10u %-24s %-44s %llu\n", subnet.subnet_id,
                    Printable(subnet.name, 24).c_str(), subnet.owner_address.c_str(),
                    static_cast<unsigned long long>(subnet.version));
      }
    }
  }
  if (options.json) Print(list);
  return absl::OkStatus();
}

absl::Status Nodes(const RegistryCommandOptions& options) {
  ASSIGN_OR_RETURN(const auto registry, Connect(options));
  ASSIGN_OR_RETURN(const auto nodes, registry->DiscoverNodes(options.query));
  if (options.json) {
    json list = json::array();
    for (const wire::DiscoveredNode& node : nodes) {
      list.push_back({{"address", node.info.address},
                      {"role", wire::Name(node.role)},
                      {"state", wire::Name(node.info.state)},
                      {"subnet_id", node.info.subnet_id},
                      {"endpoint", node.endpoint},
                      {"models", node.info.supported_models},
                      {"slots_total", node.info.slots_total},
                      {"slots_free", node.info.slots_free},
                      {"last_seen_seconds", node.last_seen_seconds}});
    }
    Print(list);
    return absl::OkStatus();
  }
  std::printf("%-44s %-10s %-9s %6s %5s  %s\n", "ADDRESS", "ROLE", "STATE", "SUBNET", "SLOTS",
              "MODELS");
  for (const wire::DiscoveredNode& node : nodes) {
    std::printf("%-44s %-10s %-9s %6u %5u  %s\n", Printable(node.info.address, 44).c_str(),
                wire::Name(node.role), wire::Name(node.info.state), node.info.subnet_id,
                node.info.slots_total,
                Printable(absl::StrJoin(node.info.supported_models, ", "), 200).c_str());
  }
  return absl::OkStatus();
}

using Options = std::shared_ptr<RegistryCommandOptions>;

void AddSubnetOption(CLI::App& command, const Options& options) {
  command.add_option("--subnet-id", options->subnet_id, "The subnet")
      ->envname("SUBNET_ID")
      ->check(CLI::Range(std::uint32_t{1}, ~std::uint32_t{0}))
      ->capture_default_str();
}

void AddWalletOption(CLI::App& command, const Options& options) {
  command.add_option("--wallet", options->wallet_file, "Key file of the subnet's owner")
      ->capture_default_str();
}

void AddPublishOptions(CLI::App& command, const Options& options) {
  ModelToPublish& model = options->model;
  command
      .add_option("path", model.path,
                  "Model file, folder of a model, or a tar.gz or zip archive of one")
      ->required();
  command.add_option("--model", model.name, "Name to publish it under; else as the path says");
  command.add_option("--model-version", model.version, "Its version; else the manifest's, else 1");
  command.add_option("--format", model.format,
                     "torchscript, checkpoint, onnx or safetensors; needed for an archive");
  command.add_option("--executor-script", model.executor_script,
                     "Executor script among the model's files; else the manifest's");
  command.add_option("--memory-mb", options->memory_mb_min, "MiB that a node needs to execute it");
  command.add_option("--source", model.sources,
                     "URL where the file is to be had, in place of an upload; of a folder, each "
                     "file's path is put after it. Repeat for mirrors");
  command.add_flag("--upload", options->upload, "Upload the files although --source is given");
  command.add_option("--name", options->name, "Name of the subnet, if it has to be created");
}

// A command that asks a registry.
CLI::App& Add(CLI::App& parent, Chosen& chosen, const Options& options, const char* name,
              const char* text, absl::Status (*run)(const RegistryCommandOptions&)) {
  CLI::App* command = parent.add_subcommand(name, text);
  command->add_option("--registry-addr", options->registry_address, "Registry, http(s)://HOST:PORT")
      ->envname("REGISTRY_ADDR")
      ->capture_default_str();
  command->add_flag("--json", options->json, "As JSON");
  command->callback([&chosen, options, run] {
    chosen.run = [options, run] {
      const absl::Status status = run(*options);
      return status.ok() ? 0 : Fail(status);
    };
  });
  return *command;
}

}  // namespace

void AddPublishCommand(CLI::App& parent, Chosen& chosen, const char* name) {
  const auto options = std::make_shared<RegistryCommandOptions>();
  CLI::App& publish =
      Add(parent, chosen, options, name,
          "Upload a model and add it to a subnet, which is created if need be", Publish);
  AddSubnetOption(publish, options);
  AddWalletOption(publish, options);
  AddPublishOptions(publish, options);
}

void AddRegistryCommand(CLI::App& app, Chosen& chosen) {
  const auto options = std::make_shared<RegistryCommandOptions>();
  CLI::App* registry =
      app.add_subcommand("registry", "Create subnets, publish models, see what a registry knows");
  registry->require_subcommand(1);
  const auto add = [&](const char* name, const char* text,
                       absl::Status (*run)(const RegistryCommandOptions&)) -> CLI::App& {
    return Add(*registry, chosen, options, name, text, run);
  };
  CLI::App& create = add("create", "Create a subnet that the wallet owns", Create);
  AddSubnetOption(create, options);
  AddWalletOption(create, options);
  create.add_option("--name", options->name, "Name of the subnet, for people");
  AddPublishCommand(*registry, chosen, "publish");
  CLI::App& unpublish = add("unpublish", "Take a model out of a subnet", Unpublish);
  AddSubnetOption(unpublish, options);
  AddWalletOption(unpublish, options);
  unpublish.add_option("model", options->unpublish, "Name of the model")->required();
  AddSubnetOption(add("show", "Show a subnet and its models", Show), options);
  add("list", "List the subnets", List);
  CLI::App& nodes = add("nodes", "List the nodes that are announced", Nodes);
  nodes.add_option("--subnet-id", options->query.subnet_id, "Only those of this subnet");
  nodes.add_option("--model", options->query.model, "Only those that execute this model");
}

}  // namespace ncn::apps
