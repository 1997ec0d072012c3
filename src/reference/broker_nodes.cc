// The half of Broker that deals with nodes.
#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/strings.h"
#include "reference/broker.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kDistrustedMax = 10000;

inference::Failure Gone(const std::string& address) {
  return {.kind = inference::FailureKind::kInternal,
          .message = base::StrCat("The node ", address,
                                  " had the request and has gone away without an answer"),
          .cure = "Submit the request again; if this repeats, look at the node's log"};
}

}  // namespace

Broker::NodeKey Broker::Attach(wire::NodeInfo info, std::shared_ptr<NodeLink> link,
                               std::uint64_t credits, const std::vector<std::string>& running,
                               const std::vector<std::string>& unacknowledged) {
  std::lock_guard lock(mutex_);
  const NodeKey key = next_key_++;
  for (auto node = nodes_.begin(); node != nodes_.end();) {
    if (node->second.info.address != info.address) {
      ++node;
      continue;
    }
    node->second.link->Replace();
    for (auto& [id, task] : tasks_) {
      if (task.node == node->first) task.lost_since = clock_.SteadyNow();
    }
    node = nodes_.erase(node);
  }
  away_.erase(info.address);
  const std::string address = info.address;
  std::set<std::string> models(info.supported_models.begin(), info.supported_models.end());
  Node& node = nodes_[key] = {.info = std::move(info),
                              .models = std::move(models),
                              .link = std::move(link),
                              .credits = credits};
  std::set<std::string> kept(running.begin(), running.end());
  kept.insert(unacknowledged.begin(), unacknowledged.end());
  // What the node still has goes on; what it has lost goes to whoever is free.
  std::vector<std::string> lost;
  for (auto& [id, task] : tasks_) {
    if (!task.lost_since || task.update.node_address != address) continue;
    if (!kept.contains(id)) {
      lost.push_back(id);
      continue;
    }
    task.node = key;
    task.lost_since.reset();
    if (task.cancelled) node.link->SendCancel(id, "cancelled by the client");
  }
  for (const std::string& id : lost) Retry(tasks_.find(id), Gone(address), /*may_retry=*/true);
  for (const std::string& id : running) {
    if (finished_.Find(id) != nullptr) node.link->SendCancel(id, "it has been answered");
  }
  DispatchTo(node);
  return key;
}

void Broker::Update(NodeKey key, std::optional<wire::NodeInfo> info, std::uint64_t credits) {
  std::lock_guard lock(mutex_);
  const auto found = nodes_.find(key);
  if (found == nodes_.end()) return;
  Node& node = found->second;
  if (info) {
    info->address = node.info.address;  // The proven one.
    node.models = {info->supported_models.begin(), info->supported_models.end()};
    node.info = *std::move(info);
  }
  node.credits = std::max(node.credits, credits);
  DispatchTo(node);
}

bool Broker::WithdrawCredit(NodeKey key) {
  std::lock_guard lock(mutex_);
  const auto found = nodes_.find(key);
  if (found == nodes_.end() || found->second.credits <= found->second.sent) return false;
  --found->second.credits;
  return true;
}

void Broker::Detach(NodeKey key) {
  std::lock_guard lock(mutex_);
  const auto found = nodes_.find(key);
  if (found == nodes_.end()) return;
  for (auto& [id, task] : tasks_) {
    if (task.node == key) task.lost_since = clock_.SteadyNow();
  }
  away_[found->second.info.address] = {clock_.SteadyNow(), std::move(found->second.models)};
  nodes_.erase(found);
}

void Broker::Leave(NodeKey key, const std::vector<std::string>& unfinished) {
  std::lock_guard lock(mutex_);
  const auto found = nodes_.find(key);
  if (found == nodes_.end()) return;
  found->second.info.state = wire::NodeState::kDraining;
  for (const std::string& id : unfinished) {
    if (const auto task = TaskOf(key, id); task != tasks_.end()) {
      Retry(task, Gone(found->second.info.address), /*may_retry=*/true);
    }
  }
}

Broker::Tasks::iterator Broker::TaskOf(NodeKey node, const std::string& request_id) {
  const auto found = tasks_.find(request_id);
  return found != tasks_.end() && found->second.node == node ? found : tasks_.end();
}

void Broker::Progress(NodeKey node, const wire::Progress& progress) {
  std::lock_guard lock(mutex_);
  const auto found = TaskOf(node, progress.request_id);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  task.update.state = progress.state == wire::TaskState::kRunning ? wire::TaskState::kRunning
                                                                  : wire::TaskState::kDispatched;
  task.update.done_permille = progress.done_permille;
  task.update.note = progress.note;
  if (!progress.partial.bytes.empty()) task.update.partial = progress.partial;
  Publish(task);
}

void Broker::Reject(NodeKey key, const wire::Reject& reject) {
  std::lock_guard lock(mutex_);
  const auto found = TaskOf(key, reject.request_id);
  const auto node = nodes_.find(key);
  if (found == tasks_.end() || node == nodes_.end()) return;
  const std::string& address = node->second.info.address;
  base::Log("reference")
      .info("node {} refuses request {}: {}", address, reject.request_id,
            wire::Name(reject.reason));
  const auto kind = reject.reason == wire::RejectReason::kTooLarge
                        ? inference::FailureKind::kInputTooLarge
                    : reject.reason == wire::RejectReason::kNoCredit ||
                            reject.reason == wire::RejectReason::kDraining
                        ? inference::FailureKind::kQueueFull
                        : inference::FailureKind::kInvalidInput;
  if (reject.reason == wire::RejectReason::kDraining) {
    node->second.info.state = wire::NodeState::kDraining;
  } else {
    found->second.failed_at.insert(address);
  }
  Retry(found,
        {.kind = kind,
         .message = base::StrCat("The node ", address, " refused it: ", reject.message),
         .cure = "Change what the message names, or wait for another node"},
        /*may_retry=*/true);
}

wire::AckVerdict Broker::Complete(NodeKey key, wire::SharedResponse response) {
  std::lock_guard lock(mutex_);
  const std::string& id = response->request_id.value();
  const auto node = nodes_.find(key);
  if (node == nodes_.end()) return wire::AckVerdict::kUnknown;
  const std::string& address = node->second.info.address;
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) {
    if (finished_.Find(id) != nullptr) return wire::AckVerdict::kDuplicate;
    if (response->ok()) {
      unclaimed_.Add({.request_id = id, .node_address = address, .response = std::move(response)},
                     0, clock_.SteadyNow());
    }
    return wire::AckVerdict::kUnknown;
  }
  Task& task = found->second;
  if (response->model != task.request->model) return wire::AckVerdict::kRefused;
  if (response->ok()) {
    if (task.node && task.node != key) {
      const auto other = nodes_.find(*task.node);
      if (other != nodes_.end()) other->second.link->SendCancel(id, "another node was faster");
    }
    task.update.node_address = address;
    Finish(found, std::move(response));
    return wire::AckVerdict::kAccepted;
  }
  // Anybody can claim a failure; only the one who has the task is believed.
  if (task.node != key) return wire::AckVerdict::kDuplicate;
  task.failed_at.insert(address);
  const inference::Failure& failure = response->failure();
  Retry(found, failure, inference::WorthRetryingElsewhere(failure.kind));
  return wire::AckVerdict::kAccepted;
}

void Broker::Distrust(NodeKey key, const std::string& request_id, const std::string& why) {
  std::lock_guard lock(mutex_);
  const auto node = nodes_.find(key);
  if (node == nodes_.end()) return;
  const std::string& address = node->second.info.address;
  base::Log("reference")
      .error("node {} sent a result for {} that does not verify: {}", address, request_id, why);
  if (distrusted_.size() >= kDistrustedMax) distrusted_.erase(distrusted_.begin());
  distrusted_.insert(address);
  const auto task = TaskOf(key, request_id);
  if (task == tasks_.end()) return;
  task->second.failed_at.insert(address);
  Retry(task,
        {.kind = inference::FailureKind::kExecutorProtocol,
         .message = base::StrCat("The result of node ", address, " does not verify: ", why),
         .cure = "Submit the request again; the node gets no further requests"},
        /*may_retry=*/true);
}

}  // namespace ncn::reference
