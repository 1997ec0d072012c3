#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>

#include "apps/ncn/child_program.h"
#include "apps/ncn/command.h"
#include "apps/ncn/publishing.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "config/locations.h"
#include "models/model_store.h"
#include "reference/client.h"
#include "registry/registry_client.h"
#include "signing/wallet.h"

namespace ncn::apps {
namespace {

constexpr int kPatienceMs = 60'000;
constexpr int kPauseMs = 20;
constexpr std::string_view kListening = "Gateway listening on ";
constexpr std::string_view kRegistryListening = "Registry listening on ";
constexpr std::string_view kSynchronised = "Models synchronised: ";
constexpr std::string_view kReady = "Compute Node ready for tasks";

struct DevnetOptions {
  std::string model_path = "./models";
  std::string state_dir = (config::DefaultStateDir() / "devnet").native();
  int gateway_port = 50051;
  std::string ready_file;
  bool registry = false;
  std::vector<std::string> node_flags;
};

// SIGINT and SIGTERM as a descriptor; blocks their usual effect.
base::UniqueFd StopSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return base::UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC));
}

// Whether something on this machine serves the port already.
bool PortTaken(int port) {
  const base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int reuse = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0;
}

// The text behind `marker` in `line`, if it is there.
std::optional<std::string> After(std::string_view line, std::string_view marker) {
  const std::size_t at = line.find(marker);
  if (at == std::string_view::npos) return std::nullopt;
  return std::string(line.substr(at + marker.size()));
}

// Publishes every model of `folder` to the registry as subnet 1, signed by the wallet in
// `key_file`, which is made if it is missing.
absl::Status PublishFolder(const std::string& registry_address, const std::string& folder,
                           const std::string& key_file) {
  std::error_code error;
  const bool has_wallet = std::filesystem::exists(key_file, error);
  ASSIGN_OR_RETURN(const signing::Wallet owner, has_wallet ? signing::Wallet::Load(key_file)
                                                           : signing::Wallet::Create(key_file));
  ASSIGN_OR_RETURN(const auto registry, registry::RegistryClient::Make(registry_address, {}));
  const auto created = CreateSubnet(*registry, owner, 1, "devnet");
  if (!created.ok() && !absl::IsAlreadyExists(created.status())) return created.status();
  std::vector<inference::SubnetModel> models;
  const models::ModelStore store(folder);
  for (const auto& [name, problem] : store.Problems()) {
    std::printf("devnet  | %s is not published: %s\n", name.c_str(),
                std::string(problem.message()).c_str());
  }
  for (const inference::ModelId& id : store.List()) {
    ASSIGN_OR_RETURN(const auto found, store.Find(id));
    ASSIGN_OR_RETURN(DescribedModel model, Describe({.path = found->root, .name = id.value()}));
    RETURN_IF_ERROR(
        UploadFiles(*registry, owner, 1, model, [](const LocalFile&, std::uint64_t) {}));
    models.push_back(std::move(model.model));
  }
  return ChangeSubnet(*registry, owner, 1,
                      [&](inference::Subnet& subnet) {
                        subnet.models = models;
                        return absl::OkStatus();
                      })
      .status();
}

// Waits until the gateway has heard of all models of `folder`.
absl::Status WaitForModels(const std::string& gateway_address, const std::string& folder) {
  ASSIGN_OR_RETURN(const auto client, reference::GatewayClient::Make(gateway_address, {}));
  const std::size_t wanted = models::ModelStore(folder).List().size();
  for (int waited_ms = 0; waited_ms < kPatienceMs; waited_ms += kPauseMs) {
    ASSIGN_OR_RETURN(const auto models, client->ListModels());
    if (models.size() >= wanted) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(kPauseMs));
  }
  return absl::DeadlineExceededError("the node's models did not reach the gateway");
}

class Devnet {
 public:
  explicit Devnet(DevnetOptions options) : options_(std::move(options)) {}

  int Run() {
    const base::UniqueFd stop_signals = StopSignals();
    absl::Status started = options_.registry ? StartRegistry() : absl::OkStatus();
    if (started.ok()) started = StartGateway();
    if (!started.ok()) {
      Fail(started);
      return Stop(1);
    }
    while (true) {
      pollfd fds[] = {
          {.fd = stop_signals.get(), .events = POLLIN, .revents = 0},
          {.fd = gateway_->output_fd(), .events = POLLIN, .revents = 0},
          {.fd = node_ ? node_->output_fd() : -1, .events = POLLIN, .revents = 0},
          {.fd = registry_ ? registry_->output_fd() : -1, .events = POLLIN, .revents = 0}};
      if (::poll(fds, 4, -1) < 0) continue;
      if (fds[0].revents != 0) return Stop(0);
      const bool gateway_runs =
          fds[1].revents == 0 || gateway_->Forward([this](auto line) { OnGatewayLine(line); });
      const bool node_runs =
          fds[2].revents == 0 || node_->Forward([this](auto line) { OnNodeLine(line); });
      const bool registry_runs =
          fds[3].revents == 0 || registry_->Forward([this](auto line) { OnRegistryLine(line); });
      if (!gateway_runs || !node_runs || !registry_runs || !status_.ok()) {
        std::fprintf(stderr, "Error: %s\n",
                     !status_.ok()    ? std::string(status_.message()).c_str()
                     : !gateway_runs  ? "the gateway ended; its last lines above say why"
                     : !registry_runs ? "the registry ended; its last lines above say why"
                                      : "the compute node ended; its last lines above say why");
        return Stop(1);
      }
    }
  }

 private:
  static std::string Program(const char* name) { return (config::ProgramDir() / name).native(); }

  absl::Status StartGateway() {
    const int port = PortTaken(options_.gateway_port) ? 0 : options_.gateway_port;
    if (port != options_.gateway_port) {
      std::printf("devnet  | port %d is taken; using a free one\n", options_.gateway_port);
    }
    auto gateway = ChildProgram::Start(
        "gateway", {Program("reference_gateway"), "--listen", base::StrCat("127.0.0.1:", port)},
        "COMPUTE_NODE_PRIVATE_KEY");
    if (!gateway.ok()) return gateway.status();
    gateway_ = std::move(*gateway);
    return absl::OkStatus();
  }

  absl::Status StartRegistry() {
    auto registry = ChildProgram::Start("registry",
                                        {Program("reference_registry"), "--listen", "127.0.0.1:0",
                                         "--folder", options_.state_dir + "/registry"},
                                        "COMPUTE_NODE_PRIVATE_KEY");
    if (!registry.ok()) return registry.status();
    registry_ = std::move(*registry);
    return absl::OkStatus();
  }

  void OnRegistryLine(std::string_view line) {
    const auto address = After(line, kRegistryListening);
    if (!address || !registry_address_.empty()) return;
    registry_address_ = *address;
    status_ =
        PublishFolder(registry_address_, options_.model_path, options_.state_dir + "/owner.key");
    if (status_.ok()) StartNode();
  }

  void OnGatewayLine(std::string_view line) {
    const auto address = After(line, kListening);
    if (!address || !address_.empty()) return;
    address_ = *address;
    StartNode();
  }

  // Once everything that it needs is there.
  void StartNode() {
    if (node_ || address_.empty() || (options_.registry && registry_address_.empty())) return;
    const std::string models =
        options_.registry ? options_.state_dir + "/models" : options_.model_path;
    std::vector<std::string> argv = {Program("compute_node"), "--gateway-addr", address_,
                                     "--model-path",          models,           "--state-dir",
                                     options_.state_dir};
    if (options_.registry) {
      argv.insert(argv.end(),
                  {"--registry-addr", registry_address_, "--sync-models", "--models-dir", models});
    }
    argv.insert(argv.end(), options_.node_flags.begin(), options_.node_flags.end());
    auto node = ChildProgram::Start("node   ", std::move(argv));
    if (node.ok()) {
      node_ = std::move(*node);
    } else {
      status_ = node.status();
    }
  }

  void OnNodeLine(std::string_view line) {
    node_ready_ |= line.find(kReady) != std::string_view::npos;
    models_ready_ |= !options_.registry || line.find(kSynchronised) != std::string_view::npos;
    if (!node_ready_ || !models_ready_ || said_ready_) return;
    if (options_.registry) status_ = WaitForModels(address_, options_.model_path);
    if (!status_.ok()) return;
    said_ready_ = true;
    std::printf("devnet  | ready. Try: ncn infer --gateway-addr %s --model NAME --input FILE\n",
                address_.c_str());
    std::fflush(stdout);
    if (!options_.ready_file.empty()) {
      status_ = base::WriteFileAtomically(options_.ready_file, address_, 0644);
    }
  }

  // The node first, so that it can hand its results to the gateway.
  int Stop(int status) {
    const int node_status = node_ ? node_->Stop(kPatienceMs) : 0;
    const int gateway_status = gateway_ ? gateway_->Stop(kPatienceMs) : 0;
    const int registry_status = registry_ ? registry_->Stop(kPatienceMs) : 0;
    if (!options_.ready_file.empty()) {
      std::error_code ignored;
      std::filesystem::remove(options_.ready_file, ignored);
    }
    return status != 0 ? status
                       : (node_status != 0 || gateway_status != 0 || registry_status != 0 ? 1 : 0);
  }

  const DevnetOptions options_;
  std::optional<ChildProgram> gateway_;
  std::optional<ChildProgram> node_;
  std::optional<ChildProgram> registry_;
  std::string address_;  // The gateway's.
  std::string registry_address_;
  bool node_ready_ = false;
  bool models_ready_ = false;
  bool said_ready_ = false;
  absl::Status status_;
};

}  // namespace

void AddDevnetCommand(CLI::App& app, Chosen& chosen) {
  auto options = std::make_shared<DevnetOptions>();
  CLI::App* command = app.add_subcommand(
      "devnet", "Run a gateway and a compute node together on this machine, until Ctrl-C");
  command->add_option("--model-path", options->model_path, "Model files directory")
      ->capture_default_str();
  command
      ->add_option("--gateway-port", options->gateway_port,
                   "Port of the gateway; a free one when it is taken, or 0")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--state-dir", options->state_dir, "State of the node, such as its wallet")
      ->capture_default_str();
  command->add_option("--ready-file", options->ready_file,
                      "File that gets the gateway's address once the network is ready");
  command->add_flag("--registry", options->registry,
                    "Start a registry, too: the models are published there, and the node fetches "
                    "them from it");
  command->add_option("node_flags", options->node_flags, "Flags for compute_node, after --");
  command->callback(
      [&chosen, options] { chosen.run = [options] { return Devnet(*options).Run(); }; });
}

}  // namespace ncn::apps
