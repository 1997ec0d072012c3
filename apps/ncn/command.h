#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace ncn::apps {

// One subcommand of ncn: adds itself to `app` with its flags, and sets `run` when it is the one
// that the command line chose. `run` prints its result and returns the exit status: 0 done, 1
// failed.
struct Chosen {
  std::function<int()> run;
};

void AddInferCommand(CLI::App& app, Chosen& chosen);
void AddBenchCommand(CLI::App& app, Chosen& chosen);
void AddVerifyCommand(CLI::App& app, Chosen& chosen);
void AddWalletCommand(CLI::App& app, Chosen& chosen);
void AddDevnetCommand(CLI::App& app, Chosen& chosen);
void AddModelsCommand(CLI::App& app, Chosen& chosen);
void AddRegistryCommand(CLI::App& app, Chosen& chosen);
void AddStatsCommand(CLI::App& app, Chosen& chosen);
void AddSandboxCommand(CLI::App& app, Chosen& chosen);
void AddExecutorCommand(CLI::App& app, Chosen& chosen);
void AddDoctorCommand(CLI::App& app, Chosen& chosen);

// Prints "Error: <message>" to standard error and returns 1.
int Fail(const std::string& message);
int Fail(const absl::Status& status);

}  // namespace ncn::apps
