// The part of Broker that decides which node gets which task, and when to give up.
#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "reference/broker.h"

namespace ncn::reference {

bool Broker::CanTake(const Node& node, const Task& task) const {
  const std::uint64_t input_max = node.info.input_bytes_max;
  return node.info.state == wire::NodeState::kReady &&
         node.models.contains(task.request->model.value()) &&
         !task.failed_at.contains(node.info.address) && !distrusted_.contains(node.info.address) &&
         (input_max == 0 || task.request->input.bytes.size() <= input_max);
}

// The node with the most free places.
std::map<Broker::NodeKey, Broker::Node>::iterator Broker::Choose(const Task& task) {
  auto best = nodes_.end();
  for (auto node = nodes_.begin(); node != nodes_.end(); ++node) {
    const Node& candidate = node->second;
    if (candidate.sent >= candidate.credits || !CanTake(candidate, task)) continue;
    if (best == nodes_.end() ||
        candidate.credits - candidate.sent > best->second.credits - best->second.sent) {
      best = node;
    }
  }
  return best;
}

bool Broker::HasCandidate(const Task& task) const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [&](const auto& entry) { return CanTake(entry.second, task); }) ||
         std::any_of(away_.begin(), away_.end(), [&](const auto& entry) {
           return entry.second.second.contains(task.request->model.value()) &&
                  !task.failed_at.contains(entry.first);
         });
}

void Broker::DispatchTo(const Node& node) {
  std::vector<std::string> models;
  for (const auto& [model, ids] : waiting_) {
    if (node.models.contains(model)) models.push_back(model);
  }
  for (const std::string& model : models) DispatchWaiting(model);
}

void Broker::DispatchWaiting(const std::string& model) {
  const auto found = waiting_.find(model);
  if (found == waiting_.end()) return;
  std::list<std::string>& ids = found->second;
  const auto any_credit = [&] {
    return std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
      return entry.second.sent < entry.second.credits && entry.second.models.contains(model);
    });
  };
  for (auto id = ids.begin(); id != ids.end() && any_credit();) {
    Task& task = tasks_.at(*id);
    const auto node = Choose(task);
    if (node == nodes_.end()) {
      ++id;
      continue;
    }
    id = ids.erase(id);
    Dispatch(task, node->first, node->second);
  }
  if (ids.empty()) waiting_.erase(found);
}

void Broker::Dispatch(Task& task, NodeKey key, Node& node) {
  ++node.sent;
  ++task.attempts;
  task.node = key;
  task.since = clock_.SteadyNow();
  task.update.state = wire::TaskState::kDispatched;
  task.update.node_address = node.info.address;
  node.link->SendRequest(task.request);
  Publish(task);
}

void Broker::Retry(Tasks::iterator entry, inference::Failure failure, bool may_retry) {
  Task& task = entry->second;
  const std::string model = task.request->model.value();
  if (task.cancelled) {
    Fail(entry, {.kind = inference::FailureKind::kCancelled,
                 .message = "The request was cancelled",
                 .cure = ""});
  } else if (may_retry && task.attempts < options_.attempts_max && HasCandidate(task)) {
    Enqueue(task, /*first=*/true);
    DispatchWaiting(model);
  } else {
    Fail(entry, std::move(failure));
  }
}

void Broker::Tick() {
  std::lock_guard lock(mutex_);
  const base::SteadyTime now = clock_.SteadyNow();
  finished_.Expire(now);
  unclaimed_.Expire(now);
  std::erase_if(away_, [&](const auto& entry) {
    return now - entry.second.first > options_.reconnect_grace;
  });
  // Ids, for what ends one task may touch the others.
  std::vector<std::string> due;
  for (const auto& [id, task] : tasks_) {
    const bool waits = !task.lost_since && now - task.since > (task.node ? options_.answer_timeout
                                                                         : options_.queue_timeout);
    const bool lost = task.lost_since && now - *task.lost_since > options_.reconnect_grace;
    if (waits || lost) due.push_back(id);
  }
  for (const std::string& id : due) {
    if (const auto task = tasks_.find(id); task != tasks_.end()) GiveUpWaiting(task);
  }
}

void Broker::GiveUpWaiting(Tasks::iterator entry) {
  const Task& task = entry->second;
  const std::string& model = task.request->model.value();
  if (task.lost_since) {
    Retry(entry,
          {.kind = inference::FailureKind::kInternal,
           .message = base::StrCat("The node ", task.update.node_address,
                                   " had the request and has not come back"),
           .cure = "Submit the request again; if this repeats, look at the node's log"},
          /*may_retry=*/true);
  } else if (task.node) {
    const auto node = nodes_.find(*task.node);
    if (node != nodes_.end()) node->second.link->SendCancel(entry->first, "no answer in time");
    Fail(entry,
         {.kind = inference::FailureKind::kTimeout,
          .message = base::StrCat("The node ", task.update.node_address, " did not answer in time"),
          .cure = "Submit the request again, or raise the gateway's time limit"});
  } else if (!ModelIsKnown(model)) {
    Fail(entry, ModelNotFound(model));
  } else {
    Fail(entry,
         {.kind = inference::FailureKind::kQueueFull,
          .message = base::StrCat("No node with the model '", model, "' became free in time"),
          .cure = "Try again later, or connect more nodes"});
  }
}

}  // namespace ncn::reference
