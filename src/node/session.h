#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "execution/execution.h"
#include "node/conversation.h"
#include "node/outbox.h"
#include "node/session_options.h"
#include "node/workload.h"
#include "wire/node_info.h"

namespace ncn::node {

// Keeps the node's talk with one gateway alive: connects, registers, executes what the gateway
// sends within the credits that the node grants, and delivers each answer until it is acknowledged.
// After the first success it reconnects for ever; requests that end meanwhile are delivered later.
// Thread-safe.
class NodeSession {
 public:
  // `execution` and `outbox` outlive the session. `describe` says what the node is; the session
  // adds state, slots and queue.
  NodeSession(SessionOptions options, execution::Execution& execution, Outbox& outbox,
              std::function<wire::NodeInfo()> describe, SignChallenge sign,
              SessionCallbacks callbacks = {});
  // Drops the connection without a goodbye; what runs is told to stop and waited for.
  ~NodeSession();

  // Connects and registers, then goes on in the background. To be called once. Unavailable with the
  // text "Failed to connect to Gateway at <address>" when nobody answers (last_error says why);
  // InvalidArgument for an address that is none; the gateway's own error when it refuses the node.
  absl::Status Start();

  // Whether the node takes requests; it does from the start unless told otherwise here.
  void SetReady(bool ready);
  // What `describe` says has changed; the gateway hears of it at once.
  void NotifyChanged();

  // Leaves in good order: takes nothing new, hands back what has not begun, waits for the rest and
  // for its acknowledgements, and says goodbye. What is not done after `timeout` is stopped and
  // handed back. Returns whether everything was answered and acknowledged. The session is over
  // then.
  bool Drain(std::chrono::milliseconds timeout);

  SessionState state() const;
  // What a heartbeat would say now.
  wire::NodeInfo Describe() const;

 private:
  absl::Status Connect();
  absl::StatusOr<std::shared_ptr<Conversation>> MakeConversation(bool polling);
  absl::Status Shake(const std::shared_ptr<Conversation>& conversation);
  absl::Status Talk();
  void Loop(std::stop_token stop);
  wire::NodeState NodeStateNow() const;
  void AnnounceReady();
  void WithConversation(const std::function<void(Conversation&)>& what);
  void Lost(const absl::Status& why);
  void NotifyWaiters();
  void End();

  const SessionOptions options_;
  const std::function<wire::NodeInfo()> describe_;
  const SignChallenge sign_;
  const SessionCallbacks callbacks_;
  Outbox& outbox_;
  std::atomic<bool> ready_ = true;
  std::atomic<bool> draining_ = false;
  std::atomic<bool> finished_ = false;  // No further connection is made.
  std::atomic<bool> announced_ready_ = false;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  SessionState state_;
  // Null while there is no connection. Set before the handshake, so that an answer that comes into
  // the outbox during it is not overlooked, and so that End can cut it short.
  std::shared_ptr<Conversation> conversation_;
  bool polling_ = false;  // The gateway does not offer Session.

  Workload workload_;
  std::jthread loop_;  // Last: joins before the rest goes.
};

}  // namespace ncn::node
