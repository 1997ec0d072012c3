// The writing half of StreamConversation.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/logging.h"
#include "node/stream_conversation.h"

namespace ncn::node {
namespace {

// Rejections and progress that wait for the writer. A gateway that makes the node exceed this sends
// what it was not granted, faster than it reads.
constexpr std::size_t kMessagesMax = 1024;

std::uint32_t LoadMilli() {
  double average = 0;
  return getloadavg(&average, 1) == 1 ? static_cast<std::uint32_t>(average * 1000) : 0;
}

}  // namespace

// What the writer sends next: a message, or an answer of the outbox, which is encoded only when its
// turn comes so that the queue holds no copies of payloads.
struct StreamConversation::Outgoing {
  std::optional<wire::NodeMessage> message;
  std::optional<inference::RequestId> answer;
  bool last = false;
};

void StreamConversation::NotifyStarted(const inference::RequestId& id) {
  // A gateway that does not read loses progress, never answers.
  Post({.body = wire::Progress{.request_id = id.value(), .state = wire::TaskState::kRunning}});
}

void StreamConversation::NotifyProgress(const inference::RequestId& id,
                                        const inference::Progress& progress) {
  wire::Progress told{.request_id = id.value(),
                      .state = wire::TaskState::kRunning,
                      .done_permille = progress.done_permille,
                      .note = progress.note,
                      .partial = progress.partial};
  {
    // What still waits for a gateway that reads slowly has been overtaken.
    std::lock_guard lock(mutex_);
    for (wire::NodeMessage& waiting : messages_) {
      auto* older = std::get_if<wire::Progress>(&waiting.body);
      if (older == nullptr || older->request_id != told.request_id) continue;
      if (told.partial.bytes.empty()) told.partial = std::move(older->partial);
      *older = std::move(told);
      return;
    }
  }
  Post({.body = std::move(told)});
}

void StreamConversation::NotifyFinished(const inference::RequestId& id) {
  {
    std::lock_guard lock(mutex_);
    if (std::find(answers_.begin(), answers_.end(), id) == answers_.end()) answers_.push_back(id);
  }
  changed_.notify_all();
}

void StreamConversation::NotifyChanged() {
  {
    std::lock_guard lock(mutex_);
    heartbeat_now_ = true;
  }
  changed_.notify_all();
}

void StreamConversation::HandBack(const std::vector<std::string>& request_ids) {
  for (const std::string& id : request_ids) {
    Post({.body = wire::Reject{id, wire::RejectReason::kDraining, "this node is about to leave"}});
  }
}

void StreamConversation::Leave(wire::Goodbye goodbye) {
  {
    std::lock_guard lock(mutex_);
    goodbye_ = std::move(goodbye);
  }
  changed_.notify_all();
}

void StreamConversation::Abort() { stream_->Cancel(); }

bool StreamConversation::Post(wire::NodeMessage message) {
  {
    std::lock_guard lock(mutex_);
    if (messages_.size() >= kMessagesMax) return false;
    messages_.push_back(std::move(message));
  }
  changed_.notify_all();
  return true;
}

void StreamConversation::Write(std::stop_token stop) {
  while (std::optional<Outgoing> outgoing = NextOutgoing(stop)) {
    const bool last = outgoing->last;
    if (!Send(*std::move(outgoing))) return;
    if (last) {
      stream_->HalfClose();
      return;
    }
  }
}

std::optional<StreamConversation::Outgoing> StreamConversation::NextOutgoing(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const bool work = changed_.wait_until(lock, stop, heartbeat_due_, [this] {
    return !messages_.empty() || !answers_.empty() || heartbeat_now_ || goodbye_ ||
           GrantableCredits() > granted_;
  });
  if (stop.stop_requested()) return std::nullopt;
  const auto now = std::chrono::steady_clock::now();
  Outgoing next;
  if (!work || heartbeat_now_ || now >= heartbeat_due_) {
    heartbeat_now_ = false;
    heartbeat_due_ = now + heartbeat_interval_;
    next.message = {.body = wire::Heartbeat{.load_milli = LoadMilli()}};
  } else if (!messages_.empty()) {
    next.message = std::move(messages_.front());
    messages_.pop_front();
  } else if (!answers_.empty()) {
    next.answer = std::move(answers_.front());
    answers_.pop_front();
  } else if (goodbye_) {
    next.message = {.body = *std::exchange(goodbye_, std::nullopt)};
    next.last = true;
  } else {
    next.message = {.body = wire::Heartbeat{.load_milli = LoadMilli()}};  // Brings a new grant.
  }
  return next;
}

bool StreamConversation::Send(Outgoing outgoing) {
  wire::NodeMessage message;
  if (outgoing.answer) {
    const auto response = environment_.outbox.Find(*outgoing.answer);
    if (response == nullptr) return true;  // Acknowledged meanwhile.
    message.body = Fitting(response);
  } else {
    message = *std::move(outgoing.message);
  }
  if (auto* heartbeat = std::get_if<wire::Heartbeat>(&message.body)) {
    heartbeat->info = environment_.describe();
  }
  message.credits = GrantCredits();
  return stream_->Write(message);
}

wire::SharedResponse StreamConversation::Fitting(wire::SharedResponse response) const {
  const std::uint64_t max = welcome_.message_bytes_max;
  if (max == 0 || !response->ok()) return response;
  const std::uint64_t bytes = response->result().output.bytes.size() + wire::kMessageOverheadBytes;
  if (bytes <= max) return response;
  return std::make_shared<const inference::InferenceResponse>(inference::InferenceResponse{
      .request_id = response->request_id,
      .model = response->model,
      .outcome = inference::Failure{
          .kind = inference::FailureKind::kOutputTooLarge,
          .message = "The result is larger than the gateway accepts",
          .cure = "Ask for less at once, or for a gateway that accepts larger messages"}});
}

std::uint64_t StreamConversation::GrantableCredits() const {
  if (environment_.state() != wire::NodeState::kReady || !environment_.outbox.HasRoom()) {
    return granted_;
  }
  const std::uint64_t received = received_;  // Before the load; see its declaration.
  const Workload::Load load = environment_.workload.load();
  const std::uint64_t used = load.running + load.queued;
  const std::uint64_t capacity = environment_.workload.capacity();
  return received + (capacity > used ? capacity - used : 0);
}

std::uint64_t StreamConversation::GrantCredits() {
  granted_ = std::max(granted_.load(), GrantableCredits());
  return granted_;
}

}  // namespace ncn::node
