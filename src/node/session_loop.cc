// The half of NodeSession that connects and reconnects.
#include <random>
#include <utility>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "node/polling_conversation.h"
#include "node/session.h"
#include "node/stream_conversation.h"

namespace ncn::node {
namespace {

// A connection that stood this long was a good one: the next wait is short again.
constexpr std::chrono::seconds kStableAfter{10};

std::uint64_t Seed(const SessionOptions& options) {
  return options.backoff_seed != 0 ? options.backoff_seed : std::random_device{}();
}

}  // namespace

absl::Status NodeSession::Connect() {
  bool polling = false;
  {
    std::lock_guard lock(mutex_);
    polling = polling_;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<Conversation> conversation, MakeConversation(polling));
  absl::Status status = Shake(conversation);
  if (absl::IsUnimplemented(status) && !polling) {
    base::Log("node").info("the gateway offers no stream; polling it instead");
    ASSIGN_OR_RETURN(conversation, MakeConversation(true));
    status = Shake(conversation);
    polling = status.ok();
  }
  RETURN_IF_ERROR(status);
  {
    std::lock_guard lock(mutex_);
    polling_ = polling;
    state_.connected = true;
    state_.last_error.clear();
  }
  if (callbacks_.on_connected) callbacks_.on_connected();
  if (callbacks_.on_registered) callbacks_.on_registered(describe_().supported_models);
  AnnounceReady();
  return absl::OkStatus();
}

// Publishes the conversation and does its handshake; unpublishes it when that fails.
absl::Status NodeSession::Shake(const std::shared_ptr<Conversation>& conversation) {
  {
    std::lock_guard lock(mutex_);
    conversation_ = conversation;
  }
  // Checked after publishing: whoever ends the session sets it before it looks for a conversation.
  absl::Status status =
      finished_ ? absl::CancelledError("the session has ended") : conversation->Handshake();
  if (!status.ok()) {
    std::lock_guard lock(mutex_);
    conversation_ = nullptr;
  }
  return status;
}

absl::StatusOr<std::shared_ptr<Conversation>> NodeSession::MakeConversation(bool polling) {
  ASSIGN_OR_RETURN(const wire::Endpoint endpoint, wire::ParseEndpoint(options_.gateway_address));
  // A channel of its own for each attempt, so that nothing of a failed one lingers.
  ASSIGN_OR_RETURN(auto channel, wire::MakeChannel(options_.gateway_address, options_.connection));
  Conversation::Environment environment{.options = options_,
                                        .workload = workload_,
                                        .outbox = outbox_,
                                        .describe = [this] { return Describe(); },
                                        .state = [this] { return NodeStateNow(); },
                                        .acknowledged = [this] { NotifyWaiters(); },
                                        .sign = sign_};
  if (polling) {
    return std::make_shared<PollingConversation>(std::move(environment), std::move(channel),
                                                 endpoint.Authority());
  }
  auto stream = SessionStream::Open(std::move(channel),
                                    {.input_bytes_max = options_.connection.payload_bytes_max});
  return std::make_shared<StreamConversation>(std::move(environment), std::move(stream),
                                              endpoint.Authority());
}

// Talks until the connection that stands is lost.
absl::Status NodeSession::Talk() {
  std::shared_ptr<Conversation> conversation;
  {
    std::lock_guard lock(mutex_);
    conversation = conversation_;
  }
  absl::Status over = conversation->Run();
  {
    std::lock_guard lock(mutex_);
    conversation_ = nullptr;
  }
  return over;
}

void NodeSession::Loop(std::stop_token stop) {
  const std::stop_callback abort(stop, [this] { WithConversation([](auto& c) { c.Abort(); }); });
  Backoff backoff(options_.backoff, Seed(options_));
  bool connected = true;
  while (true) {
    if (connected && !stop.stop_requested()) {
      const auto since = std::chrono::steady_clock::now();
      const absl::Status over = Talk();
      if (std::chrono::steady_clock::now() - since >= kStableAfter) backoff.Reset();
      Lost(over);
      if (callbacks_.on_disconnected && !stop.stop_requested()) callbacks_.on_disconnected(over);
    }
    if (stop.stop_requested() || finished_) return;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, backoff.Next(), [this] { return finished_.load(); });
    }
    if (stop.stop_requested() || finished_) return;
    const absl::Status status = Connect();
    connected = status.ok();
    if (connected) {
      std::lock_guard lock(mutex_);
      ++state_.reconnects;
    } else {
      Lost(status);
    }
  }
}

void NodeSession::AnnounceReady() {
  if (NodeStateNow() != wire::NodeState::kReady || !state().connected) return;
  if (!announced_ready_.exchange(true) && callbacks_.on_ready) callbacks_.on_ready();
}

void NodeSession::WithConversation(const std::function<void(Conversation&)>& what) {
  std::shared_ptr<Conversation> conversation;
  {
    std::lock_guard lock(mutex_);
    conversation = conversation_;
  }
  if (conversation != nullptr) what(*conversation);
}

void NodeSession::Lost(const absl::Status& why) {
  // A node that leaves has nothing to regret.
  const auto level = draining_ ? spdlog::level::debug : spdlog::level::warn;
  base::Log("node").log(level, "no session with {}: {}", options_.gateway_address, why.ToString());
  {
    std::lock_guard lock(mutex_);
    state_.connected = false;
    state_.last_error = why.ToString();
  }
  changed_.notify_all();
}

// For waiters whose condition is guarded by another lock: taking ours in between makes sure that
// they either see the change or are waiting already.
void NodeSession::NotifyWaiters() {
  { std::lock_guard lock(mutex_); }
  changed_.notify_all();
}

void NodeSession::End() {
  finished_ = true;
  loop_.request_stop();
  NotifyWaiters();
  if (loop_.joinable()) loop_.join();
}

}  // namespace ncn::node
