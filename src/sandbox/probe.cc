#include "sandbox/probe.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "sandbox/launcher_client.h"
#include "sandbox/namespace_sandbox.h"

namespace ncn::sandbox {
namespace {

constexpr std::array kNamespaceLayers = {"user-namespace",    "pid-namespace", "mount-namespace",
                                         "network-namespace", "ipc-namespace", "uts-namespace",
                                         "cgroup-namespace"};
constexpr std::array kProcessLayers = {"seccomp", "rlimits", "no-new-privileges",
                                       "no-capabilities"};
constexpr char kCgroupCure[] =
    "For limits on the whole tree by the kernel, run the node as root or with Delegate=yes; until "
    "then the node watches memory itself.";

LayerProbe Broken(std::string layer, const absl::Status& status) {
  return {std::move(layer), false, true, std::string(base::ToStd(status.message())), ""};
}

// What the outcome says of the layer that is called `name`, or begins so.
LayerProbe Find(const SandboxOutcome& outcome, const std::string& name) {
  for (const std::string& layer : outcome.layers) {
    if (layer.rfind(name, 0) == 0) return {name, true, true, layer, ""};
  }
  LayerProbe probe{name, false, true, "not in force", ""};
  for (const std::string& missing : outcome.missing) {
    const std::size_t reason = missing.find(" (");
    const std::string_view layers = std::string_view(missing).substr(0, reason);
    const bool about = layers.find(name.substr(0, name.find('-'))) != std::string_view::npos ||
                       (layers == "all namespaces" && name.find("namespace") != std::string::npos);
    if (!about || reason == std::string::npos) continue;
    const std::size_t cure = missing.find(". ", reason);
    probe.detail = missing.substr(reason + 2, cure - reason - 2);
    if (cure != std::string::npos)
      probe.cure = missing.substr(cure + 2, missing.rfind(')') - cure - 2);
  }
  return probe;
}

LayerProbe ProbeCgroups(const SandboxOutcome& outcome) {
  LayerProbe probe{"cgroup", false, false, "", kCgroupCure};
  for (const std::string& layer : outcome.layers) {
    if (layer.rfind("cgroup-v", 0) != 0) continue;
    probe.available = true;
    probe.detail += (probe.detail.empty() ? "" : " ") + layer;
  }
  if (probe.available) return {probe.layer, true, false, probe.detail, ""};
  const auto tree = CgroupTree::Create();
  probe.detail = base::ToStd(tree.status().message());
  return probe;
}

}  // namespace

std::vector<LayerProbe> ProbeLayers(const std::string& launcher_path) {
  auto sandbox = NamespaceSandbox::Create(
      SandboxMode::kPermissive,
      launcher_path.empty() ? BesideProgram("sandbox_launcher") : launcher_path);
  if (!sandbox.ok()) return {Broken("sandbox_launcher", sandbox.status())};
  const auto policy = PolicyBuilder().UseHostSystem().Build();
  if (!policy.ok()) return {Broken("seccomp", policy.status())};
  SandboxCommand command;
  command.argv = {"/usr/bin/true"};
  const auto outcome = (*sandbox)->Run(*policy, command);
  if (!outcome.ok()) return {Broken("sandbox", outcome.status())};

  std::vector<LayerProbe> layers;
  for (const char* name : kNamespaceLayers) layers.push_back(Find(*outcome, name));
  layers.push_back(Find(*outcome, "landlock"));
  for (const char* name : kProcessLayers) layers.push_back(Find(*outcome, name));
  layers.push_back(ProbeCgroups(*outcome));
  return layers;
}

bool StrictWouldRun(const std::vector<LayerProbe>& layers) {
  return std::all_of(layers.begin(), layers.end(),
                     [](const LayerProbe& probe) { return probe.available || !probe.required; });
}

}  // namespace ncn::sandbox
