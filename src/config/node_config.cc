#include "config/node_config.h"

#include <string.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/strings.h"
#include "config/locations.h"

namespace ncn::config {
namespace {

// Takes a variable's value and leaves nothing of it behind in the environment block.
base::Secret TakeFromEnvironment(const char* name) {
  char* value = std::getenv(name);
  if (value == nullptr) return base::Secret();
  base::Secret secret{std::string(value)};
  ::explicit_bzero(value, ::strlen(value));
  ::unsetenv(name);
  return secret;
}

void AddSpecifiedOptions(CLI::App& app, NodeConfig& config) {
  app.add_option("--gateway-addr", config.gateway_address,
                 "Gateway gRPC address, http(s)://HOST:PORT")
      ->envname("GATEWAY_ADDR")
      ->required();
  app.add_option("--model-path", config.model_path, "Model files directory")
      ->envname("MODEL_PATH")
      ->capture_default_str();
  app.add_flag("--sync-models", config.sync_models, "Enable model synchronization")
      ->envname("SYNC_MODELS");
  AddSyncOptions(app, config.sync);
  app.add_option("--wallet-address", config.wallet_address,
                 "Address that the private key must belong to")
      ->envname("NODE_WALLET_ADDRESS");
  app.add_option("--sandbox-mode", config.sandbox_mode, "strict, permissive or disabled")
      ->envname("SANDBOX_MODE")
      ->check(CLI::IsMember({"strict", "permissive", "disabled"}))
      ->capture_default_str();
  app.add_option("--execution-timeout-secs", config.execution_timeout_seconds,
                 "Longest execution, in seconds")
      ->envname("EXECUTION_TIMEOUT_SECS")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--max-memory-mb", config.memory_mb_max, "Most memory of an execution, in MiB")
      ->envname("MAX_MEMORY_MB")
      ->check(CLI::Range(64, 16 << 20))
      ->capture_default_str();
  app.add_flag("--enable-execution-fallback", config.execution_fallback,
               "Try the next executor when the chosen one cannot run a model")
      ->envname("ENABLE_EXECUTION_FALLBACK");
  app.add_flag("--require-payment", config.require_payment,
               "Refuse requests without a signed payment authorization")
      ->envname("REQUIRE_PAYMENT");
  app.add_option("--python-executor-path", config.python_executor_path, "Path to Python executors")
      ->envname("PYTHON_EXECUTOR_PATH")
      ->capture_default_str();
}

// How requests are kept apart.
void AddIsolationOptions(CLI::App& app, NodeConfig& config) {
  app.add_option("--isolation", config.isolation,
                 "rewind: a sandbox that is made what it was before the last request, where the "
                 "kernel can; "
                 "request: one of its own, made ahead, for each request; tenant: one may serve "
                 "the same client again; cold: a new interpreter for each")
      ->envname("ISOLATION")
      ->check(CLI::IsMember({"rewind", "request", "tenant", "cold"}))
      ->capture_default_str();
  app.add_option_function<std::vector<std::string>>(
         "--isolation-of",
         [&config](const std::vector<std::string>& words) {
           for (const std::string& word : words) {
             const std::size_t equals = word.find('=');
             const std::string level = word.substr(equals == word.npos ? word.size() : equals + 1);
             if (level != "request" && level != "rewind" && level != "tenant" && level != "cold") {
               throw CLI::ValidationError(
                   "--isolation-of", "\"" + word + "\" is not MODEL=rewind|request|tenant|cold");
             }
             config.isolation_of[word.substr(0, equals)] = level;
           }
         },
         "MODEL=LEVEL: the same for one model; may be repeated")
      ->envname("ISOLATION_OF")
      ->delimiter(',');
  app.add_option("--tenant-requests-max", config.tenant_requests_max,
                 "Requests that one sandbox serves at most, at the levels tenant and rewind")
      ->envname("TENANT_REQUESTS_MAX")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  app.add_option("--tenant-secs-max", config.tenant_seconds_max,
                 "How long one sandbox serves at most, at the same levels, in seconds")
      ->envname("TENANT_SECS_MAX")
      ->check(CLI::Range(1, 86400 * 365))
      ->capture_default_str();
}

// How models are kept ready.
void AddReadyOptions(CLI::App& app, NodeConfig& config) {
  app.add_option("--threads-per-request", config.threads_per_request,
                 "Threads that one request computes with; 0 shares the cores out among the slots")
      ->envname("THREADS_PER_REQUEST")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--model-cache-ttl-secs", config.model_cache_ttl_seconds,
                 "How long a model stays loaded that nobody asks for")
      ->envname("MODEL_CACHE_TTL_SECS")
      ->check(CLI::Range(1, 86400 * 365))
      ->capture_default_str();
  app.add_option("--model-cache-mb", config.model_cache_mb,
                 "Memory for loaded models that wait, in MiB")
      ->envname("MODEL_CACHE_MB")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  app.add_option("--model-load-timeout-secs", config.model_load_timeout_seconds,
                 "How long the loading of a model may take")
      ->envname("MODEL_LOAD_TIMEOUT_SECS")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--ready-min", config.ready_min,
                 "Sandboxes that wait for requests to a loaded model, when few come")
      ->envname("READY_MIN")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--ready-max", config.ready_max,
                 "The same at most, when many come, at level rewind with those that answer; 0 "
                 "means four for each slot")
      ->envname("READY_MAX")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--preload", config.preload, "Models to load at start; may be repeated")
      ->envname("PRELOAD_MODELS")
      ->delimiter(',');
  app.add_option("--pin", config.pin, "Models that stay loaded; may be repeated")
      ->envname("PIN_MODELS")
      ->delimiter(',');
}

void AddFurtherOptions(CLI::App& app, NodeConfig& config) {
  app.add_option("--private-key-file", config.private_key_file,
                 "File (mode 0600) that holds the wallet's private key, instead of "
                 "COMPUTE_NODE_PRIVATE_KEY")
      ->envname("COMPUTE_NODE_PRIVATE_KEY_FILE");
  app.add_option("--state-dir", config.state_dir, "Wallet, control socket and other state")
      ->envname("COMPUTE_NODE_STATE_DIR")
      ->capture_default_str();
  app.add_option("--runtime-image", config.runtime_image,
                 "Root file system that executors run in (runtime_image/build makes it)")
      ->envname("RUNTIME_IMAGE")
      ->capture_default_str();
  app.add_option("--execution-slots", config.execution_slots,
                 "Requests executed at once; 0 means one per core, as far as memory goes")
      ->envname("EXECUTION_SLOTS")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--queue-depth", config.queue_depth, "Requests that may wait for a slot")
      ->envname("EXECUTION_QUEUE_DEPTH")
      ->check(CLI::Range(0, 65536))
      ->capture_default_str();
  app.add_option("--max-message-mb", config.message_mb_max, "Largest input or output, in MiB")
      ->envname("MAX_MESSAGE_MB")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--drain-timeout-secs", config.drain_timeout_seconds,
                 "How long a stopping node finishes running requests")
      ->envname("DRAIN_TIMEOUT_SECS")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  app.add_option("--tls-ca-file", config.tls_ca_file,
                 "Certificates to trust for https:// gateways, instead of the system's")
      ->envname("TLS_CA_FILE");
  app.add_option("--log", config.log_filter,
                 "Log filter: LEVEL or TARGET=LEVEL, comma separated (also: RUST_LOG)")
      ->envname("COMPUTE_NODE_LOG");
}

}  // namespace

Parsed<NodeConfig> ParseNodeConfig(int argc, char** argv, const char* version) {
  NodeConfig config;
  config.private_key = TakeFromEnvironment("COMPUTE_NODE_PRIVATE_KEY");
  config.state_dir = DefaultStateDir();
  config.runtime_image = DefaultRuntimeImage();
  if (const char* rust_log = std::getenv("RUST_LOG")) config.log_filter = rust_log;

  CLI::App app(
      "Runs AI models for a gateway, each request in a sandbox of its own, and signs the results.",
      "compute_node");
  app.set_version_flag("--version", base::StrCat("compute_node ", version));
  app.footer(
      "The wallet's private key comes from the environment variable COMPUTE_NODE_PRIVATE_KEY "
      "(hexadecimal) or\n"
      "--private-key-file, never from the command line. Without either, a key is generated and "
      "kept in the\n"
      "state directory, for development only. A flag wins over its environment variable.");
  AddSpecifiedOptions(app, config);
  AddIsolationOptions(app, config);
  AddReadyOptions(app, config);
  AddFurtherOptions(app, config);
  if (CommandLineResult result = ParseCommandLine(app, argc, argv); !result.proceed) {
    return result.exit;
  }
  if (config.sync_models && config.sync.registries.empty()) {
    return ExitText{
        "Error: --sync-models needs --registry-addr, the registry that knows the subnet\n"
        "Try 'compute_node --help'.\n",
        2};
  }
  if (config.sync_models && config.sandbox_mode == "disabled") {
    return ExitText{
        "Error: --sync-models fetches executor scripts that others wrote, and --sandbox-mode "
        "disabled would run them\nwith your own rights; leave one of them out, or fetch with "
        "`ncn models pull`, look at the scripts, and serve\nthe folder with --model-path\n"
        "Try 'compute_node --help'.\n",
        2};
  }
  return config;
}

}  // namespace ncn::config
