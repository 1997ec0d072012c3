#include "reference/broker.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/logging.h"
#include "base/strings.h"
#include "signing/result_signature.h"

namespace ncn::reference {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kModelsNamedMax = 50;  // In a failure's text.

std::size_t HashOf(const inference::InferenceRequest& request) {
  return std::hash<std::string>{}(request.model.value()) * 31 +
         std::hash<std::string>{}(request.input.bytes);
}

}  // namespace

Broker::Broker(const BrokerOptions& options, const base::Clock& clock)
    : options_(options), clock_(clock), finished_(options.finished), unclaimed_(options.finished) {}

absl::StatusOr<wire::TaskState> Broker::Submit(wire::SharedRequest request) {
  const std::string id = request->id.value();
  const std::size_t input_hash = HashOf(*request);
  std::optional<wire::TaskUpdate> unclaimed;
  {
    std::lock_guard lock(mutex_);
    unclaimed = unclaimed_.Take(id);
  }
  // Outside of the lock, for hashing takes its time.
  if (unclaimed && !signing::VerifyResponseTo(*request, *unclaimed->response).ok()) {
    unclaimed.reset();
  }
  std::lock_guard lock(mutex_);
  if (Knows(id)) {
    const auto found = tasks_.find(id);
    const std::size_t known_hash =
        found != tasks_.end() ? found->second.input_hash : *finished_.InputHash(id);
    if (known_hash != input_hash) {
      return absl::AlreadyExistsError(
          base::StrCat("request id '", id, "' names another request; choose a new one"));
    }
    return found != tasks_.end() ? found->second.update.state : finished_.Find(id)->state;
  }
  if (tasks_.size() >= options_.tasks_max ||
      task_bytes_ + request->input.bytes.size() > options_.task_bytes_max) {
    return absl::ResourceExhaustedError(
        "the gateway has as many requests as it can hold; try again later");
  }
  Task task{.request = std::move(request),
            .update = {.request_id = id, .state = wire::TaskState::kQueued},
            .since = clock_.SteadyNow(),
            .input_hash = input_hash};
  task_bytes_ += task.request->input.bytes.size();
  const auto entry = tasks_.emplace(id, std::move(task)).first;
  const std::string model = entry->second.request->model.value();
  if (unclaimed) {
    entry->second.update.node_address = unclaimed->node_address;
    Finish(entry, unclaimed->response);
  } else if (!(nodes_.empty() && away_.empty()) && !ModelIsKnown(model)) {
    Fail(entry, ModelNotFound(model));
  } else if (const std::uint64_t largest = LargestInput(model);
             entry->second.request->input.bytes.size() > largest) {
    Fail(entry,
         {.kind = inference::FailureKind::kInputTooLarge,
          .message = base::StrCat("The input has ", entry->second.request->input.bytes.size(),
                                  " bytes; nodes with the model accept at most ", largest),
          .cure = "Send less at once, or raise the nodes' limit"});
  } else {
    Enqueue(entry->second, /*first=*/false);
    DispatchWaiting(model);
  }
  const auto left = tasks_.find(id);
  return left != tasks_.end() ? left->second.update.state : finished_.Find(id)->state;
}

bool Broker::Knows(const std::string& request_id) const {
  return tasks_.contains(request_id) || finished_.Find(request_id) != nullptr;
}

absl::StatusOr<wire::TaskUpdate> Broker::Get(const std::string& request_id) const {
  std::lock_guard lock(mutex_);
  if (const auto task = tasks_.find(request_id); task != tasks_.end()) return task->second.update;
  if (const wire::TaskUpdate* update = finished_.Find(request_id)) return *update;
  return absl::NotFoundError(base::StrCat("no request '", request_id,
                                          "' here, or its answer has expired; submit it again"));
}

absl::Status Broker::Subscribe(const std::string& request_id,
                               std::weak_ptr<TaskSubscriber> subscriber) {
  std::lock_guard lock(mutex_);
  const std::shared_ptr<TaskSubscriber> locked = subscriber.lock();
  if (const auto task = tasks_.find(request_id); task != tasks_.end()) {
    if (locked) locked->OnUpdate(task->second.update);
    task->second.subscribers.push_back(std::move(subscriber));
    return absl::OkStatus();
  }
  if (const wire::TaskUpdate* update = finished_.Find(request_id)) {
    if (locked) locked->OnUpdate(*update);
    return absl::OkStatus();
  }
  return absl::NotFoundError(base::StrCat("no request '", request_id,
                                          "' here, or its answer has expired; submit it again"));
}

absl::StatusOr<wire::TaskState> Broker::Cancel(const std::string& request_id) {
  std::lock_guard lock(mutex_);
  if (const wire::TaskUpdate* update = finished_.Find(request_id)) return update->state;
  const auto found = tasks_.find(request_id);
  if (found == tasks_.end()) {
    return absl::NotFoundError(base::StrCat("no request '", request_id, "' here"));
  }
  Task& task = found->second;
  const wire::TaskState before = task.update.state;
  task.cancelled = true;
  const auto node = task.node ? nodes_.find(*task.node) : nodes_.end();
  if (node == nodes_.end()) {
    Fail(found, {.kind = inference::FailureKind::kCancelled,
                 .message = "The request was cancelled",
                 .cure = ""});
  } else {
    node->second.link->SendCancel(request_id, "cancelled by the client");
  }
  return before;
}

absl::Status Broker::SetPayment(const std::string& request_id, inference::PaymentProof payment) {
  std::lock_guard lock(mutex_);
  const auto found = tasks_.find(request_id);
  if (found == tasks_.end() || found->second.node) {
    return absl::FailedPreconditionError(
        "the request is not waiting here any more; add the payment when it is submitted");
  }
  auto changed = std::make_shared<inference::InferenceRequest>(*found->second.request);
  changed->payment = std::move(payment);
  found->second.request = std::move(changed);
  return absl::OkStatus();
}

std::vector<SupportedModel> Broker::Models() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, SupportedModel> models;
  for (const auto& [key, node] : nodes_) {
    for (const std::string& name : node.models) {
      SupportedModel& model = models[name];
      model.model = name;
      ++model.nodes;
      if (node.credits > node.sent) model.free_credits += node.credits - node.sent;
    }
  }
  std::vector<SupportedModel> list;
  for (auto& [name, model] : models) list.push_back(std::move(model));
  return list;
}

wire::SharedRequest Broker::Request(const std::string& request_id) const {
  std::lock_guard lock(mutex_);
  const auto found = tasks_.find(request_id);
  return found == tasks_.end() ? nullptr : found->second.request;
}

void Broker::Enqueue(Task& task, bool first) {
  std::list<std::string>& ids = waiting_[task.request->model.value()];
  ids.insert(first ? ids.begin() : ids.end(), task.request->id.value());
  task.node.reset();
  task.lost_since.reset();
  task.since = clock_.SteadyNow();
  task.update.state = wire::TaskState::kQueued;
  task.update.node_address.clear();
  task.update.done_permille = 0;
  task.update.note.clear();
  task.update.partial = {};
  Publish(task);
}

void Broker::Unqueue(const Task& task) {
  const auto found = waiting_.find(task.request->model.value());
  if (found == waiting_.end()) return;
  found->second.remove(task.request->id.value());
  if (found->second.empty()) waiting_.erase(found);
}

void Broker::Finish(Tasks::iterator entry, wire::SharedResponse response) {
  Task& task = entry->second;
  Unqueue(task);
  task.update.state = response->ok() ? wire::TaskState::kSucceeded : wire::TaskState::kFailed;
  task.update.partial = {};
  task.update.response = std::move(response);
  finished_.Add(task.update, task.input_hash, clock_.SteadyNow());
  Publish(task);
  task_bytes_ -= task.request->input.bytes.size();
  tasks_.erase(entry);
}

void Broker::Fail(Tasks::iterator task, inference::Failure failure) {
  base::Log("reference")
      .warn("request {} failed: {}: {}", task->first, inference::Name(failure.kind),
            failure.message);
  Finish(task, std::make_shared<const inference::InferenceResponse>(
                   inference::InferenceResponse{.request_id = task->second.request->id,
                                                .model = task->second.request->model,
                                                .outcome = std::move(failure)}));
}

void Broker::Publish(Task& task) {
  std::erase_if(task.subscribers, [&](const std::weak_ptr<TaskSubscriber>& subscriber) {
    const std::shared_ptr<TaskSubscriber> locked = subscriber.lock();
    if (locked) locked->OnUpdate(task.update);
    return locked == nullptr;
  });
}

bool Broker::ModelIsKnown(const std::string& model) const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [&](const auto& entry) { return entry.second.models.contains(model); }) ||
         std::any_of(away_.begin(), away_.end(),
                     [&](const auto& entry) { return entry.second.second.contains(model); });
}

std::uint64_t Broker::LargestInput(const std::string& model) const {
  std::uint64_t largest = 0;
  for (const auto& [key, node] : nodes_) {
    if (!node.models.contains(model)) continue;
    const std::uint64_t stated = node.info.input_bytes_max;
    largest = std::max(largest, stated == 0 ? kUnlimited : stated);
  }
  return largest == 0 ? kUnlimited : largest;  // Whoever is away may take it.
}

inference::Failure Broker::ModelNotFound(const std::string& model) const {
  std::set<std::string> models;
  for (const auto& [key, node] : nodes_) models.insert(node.models.begin(), node.models.end());
  const std::size_t count = models.size();
  while (models.size() > kModelsNamedMax) models.erase(std::prev(models.end()));
  return {.kind = inference::FailureKind::kModelNotFound,
          .message = base::StrCat("No node of this gateway has the model '", model, "'"),
          .cure = count == 0 ? "No node has any model; connect a compute node"
                             : base::StrCat("Supported models: ", absl::StrJoin(models, ", "),
                                            count > models.size() ? ", …" : "")};
}

}  // namespace ncn::reference
