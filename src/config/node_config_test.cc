#include "config/node_config.h"

#include <cstdlib>
#include <map>

#include "gtest/gtest.h"

namespace ncn::config {
namespace {

// Parses as if `environment` were all that is set of our variables.
class NodeConfigTest : public testing::Test {
 protected:
  Parsed<NodeConfig> Parse(std::vector<std::string> arguments,
                           const std::map<std::string, std::string>& environment = {}) {
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    arguments.insert(arguments.begin(), "compute_node");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    Parsed<NodeConfig> parsed =
        ParseNodeConfig(static_cast<int>(argv.size()), argv.data(), "1.2.3");
    for (const auto& [name, value] : environment) ::unsetenv(name.c_str());
    return parsed;
  }
  NodeConfig Config(std::vector<std::string> arguments,
                    const std::map<std::string, std::string>& environment = {}) {
    arguments.insert(arguments.end(), {"--gateway-addr", "http://127.0.0.1:50051"});
    Parsed<NodeConfig> parsed = Parse(std::move(arguments), environment);
    EXPECT_TRUE(std::holds_alternative<NodeConfig>(parsed));
    return std::get<NodeConfig>(std::move(parsed));
  }
  ExitText Exit(std::vector<std::string> arguments,
                const std::map<std::string, std::string>& environment = {}) {
    return std::get<ExitText>(Parse(std::move(arguments), environment));
  }
};

TEST_F(NodeConfigTest, HasTheDefaultsOfTheSpecification) {
  const NodeConfig config = Config({});
  EXPECT_EQ(config.model_path, "./models");
  EXPECT_TRUE(config.sync.registries.empty());
  EXPECT_EQ(config.sync.subnet_id, 1u);
  EXPECT_FALSE(config.sync_models);
  EXPECT_EQ(config.sync.models_dir, "./models");
  EXPECT_TRUE(config.private_key.empty());
  EXPECT_EQ(config.sandbox_mode, "strict");
  EXPECT_EQ(config.execution_timeout_seconds, 300u);
  EXPECT_EQ(config.memory_mb_max, 4096u);
  EXPECT_FALSE(config.execution_fallback);
  EXPECT_FALSE(config.require_payment);
  EXPECT_EQ(config.python_executor_path, "python_executors");
}

TEST_F(NodeConfigTest, FlagWinsOverEnvironmentAndEnvironmentOverDefault) {
  EXPECT_EQ(Config({}, {{"MAX_MEMORY_MB", "512"}}).memory_mb_max, 512u);
  EXPECT_EQ(Config({"--max-memory-mb", "256"}, {{"MAX_MEMORY_MB", "512"}}).memory_mb_max, 256u);
  EXPECT_TRUE(Config({}, {{"REQUIRE_PAYMENT", "true"}}).require_payment);
  EXPECT_FALSE(Config({}, {{"REQUIRE_PAYMENT", "false"}}).require_payment);
  EXPECT_EQ(Config({}, {{"RUST_LOG", "debug"}}).log_filter, "debug");
  EXPECT_EQ(Config({}, {{"RUST_LOG", "debug"}, {"COMPUTE_NODE_LOG", "warn"}}).log_filter, "warn");
}

TEST_F(NodeConfigTest, BoundsHowLongATenantKeepsASandbox) {
  EXPECT_EQ(Config({}).tenant_requests_max, 10'000u);
  EXPECT_EQ(Config({}).tenant_seconds_max, 600u);
  EXPECT_EQ(Config({}, {{"TENANT_REQUESTS_MAX", "5"}}).tenant_requests_max, 5u);
  EXPECT_EQ(Config({"--tenant-secs-max", "7"}, {{"TENANT_SECS_MAX", "9"}}).tenant_seconds_max, 7u);
  EXPECT_EQ(Exit({"--gateway-addr", "x", "--tenant-secs-max", "0"}).exit_status, 2);
}

TEST_F(NodeConfigTest, TakesThePrivateKeyOutOfTheEnvironment) {
  char* block = nullptr;
  ::setenv("COMPUTE_NODE_PRIVATE_KEY", "0011", 1);
  block = std::getenv("COMPUTE_NODE_PRIVATE_KEY");
  const NodeConfig config = Config({});
  EXPECT_EQ(config.private_key.Reveal(), "0011");
  EXPECT_EQ(std::getenv("COMPUTE_NODE_PRIVATE_KEY"), nullptr);
  EXPECT_EQ(std::string(block, 4), std::string(4, '\0'));
}

TEST_F(NodeConfigTest, RefusesUnknownFlagsWithAHint) {
  const ExitText exit = Exit({"--gateway-adr", "x"});
  EXPECT_EQ(exit.exit_status, 2);
  EXPECT_NE(exit.text.find("unknown flag --gateway-adr; did you mean --gateway-addr?"),
            std::string::npos)
      << exit.text;
}

TEST_F(NodeConfigTest, NamesTheMissingGateway) {
  EXPECT_NE(Exit({}).text.find("--gateway-addr"), std::string::npos);
}

TEST_F(NodeConfigTest, NamesTheVariableOfAWrongValue) {
  const ExitText exit = Exit({"--gateway-addr", "x"}, {{"SANDBOX_MODE", "loose"}});
  EXPECT_EQ(exit.exit_status, 2);
  EXPECT_NE(exit.text.find("SANDBOX_MODE"), std::string::npos) << exit.text;
  EXPECT_NE(Exit({"--gateway-addr", "x", "--max-memory-mb", "lots"}).text.find("--max-memory-mb"),
            std::string::npos);
}

TEST_F(NodeConfigTest, RefusesToRunScriptsOfASubnetWithoutASandbox) {
  const std::vector<std::string> sync = {"--gateway-addr", "x", "--sync-models", "--registry-addr",
                                         "http://127.0.0.1:1"};
  const ExitText exit = Exit(sync, {{"SANDBOX_MODE", "disabled"}});
  EXPECT_EQ(exit.exit_status, 2);
  for (const char* word : {"--sync-models", "--sandbox-mode disabled", "ncn models pull"}) {
    EXPECT_NE(exit.text.find(word), std::string::npos) << exit.text;
  }
  EXPECT_TRUE(std::holds_alternative<NodeConfig>(Parse(sync, {{"SANDBOX_MODE", "permissive"}})));
  EXPECT_EQ(Config({"--sandbox-mode", "disabled"}).sandbox_mode, "disabled");
}

TEST_F(NodeConfigTest, HelpAndVersionGoToStandardOutput) {
  EXPECT_EQ(Exit({"--version"}).text, "compute_node 1.2.3\n");
  const ExitText help = Exit({"--help"});
  EXPECT_EQ(help.exit_status, 0);
  for (const char* word : {"--gateway-addr", "SANDBOX_MODE", "COMPUTE_NODE_PRIVATE_KEY"}) {
    EXPECT_NE(help.text.find(word), std::string::npos) << word;
  }
}

}  // namespace
}  // namespace ncn::config
