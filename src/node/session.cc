#include "node/session.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::node {
namespace {

// How long a goodbye may take to be read once everything else is done.
constexpr std::chrono::seconds kGoodbyeTimeout{2};

bool NobodyAnswered(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

NodeSession::NodeSession(SessionOptions options, execution::Execution& execution, Outbox& outbox,
                         std::function<wire::NodeInfo()> describe, SignChallenge sign,
                         SessionCallbacks callbacks)
    : options_(std::move(options)),
      describe_(std::move(describe)),
      sign_(std::move(sign)),
      callbacks_(std::move(callbacks)),
      outbox_(outbox),
      workload_({.slots = options_.slots, .queue_capacity = options_.queue_capacity}, execution,
                outbox,
                {.on_started =
                     [this](const inference::RequestId& id) {
                       WithConversation([&](Conversation& c) { c.NotifyStarted(id); });
                     },
                 .on_finished =
                     [this](const inference::RequestId& id) {
                       WithConversation([&](Conversation& c) { c.NotifyFinished(id); });
                       NotifyWaiters();
                     },
                 .on_progress =
                     [this](const inference::RequestId& id, const inference::Progress& progress) {
                       WithConversation([&](Conversation& c) { c.NotifyProgress(id, progress); });
                     }}) {}

NodeSession::~NodeSession() { End(); }

absl::Status NodeSession::Start() {
  RETURN_IF_ERROR(wire::ParseEndpoint(options_.gateway_address).status());
  if (absl::Status status = Connect(); !status.ok()) {
    Lost(status);
    if (!NobodyAnswered(status)) {
      return absl::Status(status.code(),
                          base::StrCat("Gateway at ", options_.gateway_address,
                                       " refused this node: ", base::ToStd(status.message())));
    }
    return absl::UnavailableError(
        base::StrCat("Failed to connect to Gateway at ", options_.gateway_address));
  }
  loop_ = std::jthread([this](std::stop_token stop) { Loop(stop); });
  return absl::OkStatus();
}

void NodeSession::SetReady(bool ready) {
  ready_ = ready;
  NotifyChanged();
  AnnounceReady();
}

void NodeSession::NotifyChanged() {
  WithConversation([](Conversation& c) { c.NotifyChanged(); });
}

bool NodeSession::Drain(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  draining_ = true;
  workload_.Close();
  const std::vector<std::string> waiting = workload_.TakeWaiting();
  WithConversation([&](Conversation& c) {
    c.NotifyChanged();
    c.HandBack(waiting);
  });
  const auto idle = [this] {
    const Workload::Load load = workload_.load();
    return load.running + load.queued == 0 && outbox_.usage().count == 0;
  };
  std::unique_lock lock(mutex_);
  const bool complete = changed_.wait_until(lock, deadline, idle);
  lock.unlock();
  finished_ = true;
  const std::vector<std::string> unfinished = workload_.Abandon();
  WithConversation([&](Conversation& c) {
    c.Leave({.reason = complete ? "drained" : "out of time", .unfinished = unfinished});
  });
  lock.lock();
  changed_.wait_for(lock, kGoodbyeTimeout, [this] { return conversation_ == nullptr; });
  lock.unlock();
  End();
  return complete;
}

SessionState NodeSession::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

wire::NodeState NodeSession::NodeStateNow() const {
  if (draining_) return wire::NodeState::kDraining;
  return ready_ ? wire::NodeState::kReady : wire::NodeState::kLoading;
}

wire::NodeInfo NodeSession::Describe() const {
  wire::NodeInfo info = describe_();
  const Workload::Load load = workload_.load();
  info.slots_total = options_.slots;
  info.slots_in_use = load.running;
  info.slots_free = options_.slots - std::min(load.running, options_.slots);
  info.queued = load.queued;
  info.queue_capacity = options_.queue_capacity;
  info.state = NodeStateNow();
  info.input_bytes_max = options_.connection.payload_bytes_max;
  return info;
}

}  // namespace ncn::node
