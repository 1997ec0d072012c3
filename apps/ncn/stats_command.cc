#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/ncn/command.h"
#include "base/strings.h"
#include "config/locations.h"
#include "node/control.h"
#include "sync/sync_report.h"
#include "telemetry/execution_statistics.h"

namespace ncn::apps {
namespace {

struct StatsOptions {
  std::string control_socket = (config::DefaultStateDir() / "control.sock").native();
  bool json = false;
};

// How the subnet's models stand, if the node synchronises any.
std::string SubnetText(const std::string& report) {
  const auto object = nlohmann::json::parse(report, nullptr, false);
  if (!object.is_object() || !object.contains("subnet")) return "";
  const nlohmann::json& subnet = object["subnet"];
  if (!subnet.is_object() || !subnet.contains("sync")) return "";
  return sync::TextOfJson(subnet["sync"].dump());
}

int Stats(const StatsOptions& options) {
  const auto client = node::ControlClient::Make(options.control_socket);
  const auto report = client->GetStatistics();
  if (!report.ok()) return Fail(report.status());
  if (options.json) {
    std::printf("%s\n", report->json.c_str());
    return 0;
  }
  const auto snapshot = telemetry::SnapshotFromJson(report->json);
  if (!snapshot.ok()) return Fail(snapshot.status());
  std::printf("%s%s", telemetry::ToText(*snapshot).c_str(), SubnetText(report->json).c_str());
  return 0;
}

}  // namespace

void AddStatsCommand(CLI::App& app, Chosen& chosen) {
  auto options = std::make_shared<StatsOptions>();
  CLI::App* command = app.add_subcommand("stats", "Show what a running node has executed");
  command
      ->add_option("--control-socket", options->control_socket,
                   "The node's control socket, in its --state-dir")
      ->capture_default_str();
  command->add_flag("--json", options->json, "As a JSON object");
  command->callback([&chosen, options] { chosen.run = [options] { return Stats(*options); }; });
}

}  // namespace ncn::apps
