// ncn, the command-line client: try a network, check results, look after wallets.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "apps/ncn/command.h"
#include "config/command_line.h"

namespace ncn::apps {

int Fail(const std::string& message) {
  std::fprintf(stderr, "Error: %s\n", message.c_str());
  return 1;
}

int Fail(const absl::Status& status) { return Fail(std::string(status.message())); }

}  // namespace ncn::apps

int main(int argc, char** argv) {
  CLI::App app("Client of the Compute Node Network: run inference, verify results, manage wallets.",
               "ncn");
  app.set_version_flag("--version", "ncn " NCN_VERSION);
  app.require_subcommand(1);
  ncn::apps::Chosen chosen;
  ncn::apps::AddInferCommand(app, chosen);
  ncn::apps::AddBenchCommand(app, chosen);
  ncn::apps::AddVerifyCommand(app, chosen);
  ncn::apps::AddWalletCommand(app, chosen);
  ncn::apps::AddDevnetCommand(app, chosen);
  ncn::apps::AddModelsCommand(app, chosen);
  ncn::apps::AddRegistryCommand(app, chosen);
  ncn::apps::AddStatsCommand(app, chosen);
  ncn::apps::AddSandboxCommand(app, chosen);
  ncn::apps::AddExecutorCommand(app, chosen);
  ncn::apps::AddDoctorCommand(app, chosen);
  const auto parsed = ncn::config::ParseCommandLine(app, argc, argv);
  if (!parsed.proceed) return ncn::config::PrintExit(parsed.exit);
  return chosen.run();
}
