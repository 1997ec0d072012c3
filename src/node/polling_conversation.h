#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "node/conversation.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace ncn::node {

// A conversation in single calls, for gateways without the Session stream. The thread of Run sends
// heartbeats and answers; a thread of its own asks for requests while there are free places, so
// that no grant needs to be told.
class PollingConversation final : public Conversation {
 public:
  PollingConversation(Environment environment, std::shared_ptr<grpc::Channel> channel,
                      std::string authority);
  ~PollingConversation() override;

  absl::Status Handshake() override;
  absl::Status Run() override;
  void NotifyStarted(const inference::RequestId& id) override;
  // The calls have no place for it.
  void NotifyProgress(const inference::RequestId&, const inference::Progress&) override {}
  void NotifyFinished(const inference::RequestId& id) override;
  void NotifyChanged() override;
  void HandBack(const std::vector<std::string>& request_ids) override;
  void Leave(wire::Goodbye goodbye) override;
  void Abort() override;

 private:
  class Calls;  // The calls, each of which Abort ends.

  void Fetch(std::stop_token stop);
  bool HasPlace() const;
  void Accept(wire::SharedRequest request);
  absl::Status SendAnswer(const inference::RequestId& id);
  absl::Status SendHeartbeat();
  void Fail(const absl::Status& why);

  const Environment environment_;
  const std::string authority_;
  const std::unique_ptr<Calls> calls_;
  std::chrono::milliseconds heartbeat_interval_;  // Constant after Handshake.

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<inference::RequestId> answers_;  // In the outbox, to be sent.
  std::vector<std::string> unfinished_;       // To be handed back with the next heartbeat.
  bool heartbeat_now_ = false;
  bool leaving_ = false;
  absl::Status over_;
  std::jthread fetcher_;
};

}  // namespace ncn::node
