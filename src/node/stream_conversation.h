#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "node/conversation.h"
#include "node/session_stream.h"

namespace ncn::node {

// A conversation over one Session stream. The thread of Run reads; a thread of its own writes what
// the others leave for it, and a heartbeat whenever the interval has passed.
class StreamConversation final : public Conversation {
 public:
  // `authority`: by which the gateway was reached; part of the proof.
  StreamConversation(Environment environment, std::unique_ptr<SessionStream> stream,
                     std::string authority);
  ~StreamConversation() override;

  absl::Status Handshake() override;
  absl::Status Run() override;
  void NotifyStarted(const inference::RequestId& id) override;
  void NotifyProgress(const inference::RequestId& id, const inference::Progress& progress) override;
  void NotifyFinished(const inference::RequestId& id) override;
  void NotifyChanged() override;
  void HandBack(const std::vector<std::string>& request_ids) override;
  void Leave(wire::Goodbye goodbye) override;
  void Abort() override;

 private:
  absl::Status Handle(wire::GatewayMessage message);
  absl::Status HandleRequest(wire::SharedRequest request);
  absl::Status RejectRequest(std::string request_id, wire::RejectReason reason, std::string why);
  void HandleAck(const wire::ResultAck& ack);

  // Leaves a message for the writer; false when there are too many already.
  bool Post(wire::NodeMessage message);
  void Write(std::stop_token stop);
  struct Outgoing;
  std::optional<Outgoing> NextOutgoing(std::stop_token stop);
  bool Send(Outgoing outgoing);
  wire::SharedResponse Fitting(wire::SharedResponse response) const;
  std::uint64_t GrantCredits();
  std::uint64_t GrantableCredits() const;

  const Environment environment_;
  const std::unique_ptr<SessionStream> stream_;
  const std::string authority_;
  wire::Welcome welcome_;                         // Constant after Handshake.
  std::chrono::milliseconds heartbeat_interval_;  // Constant after Handshake.

  // Requests that arrived on this stream, raised only after the workload counts them: whoever adds
  // received_ to the workload's free places must read received_ first, or would grant one twice.
  std::atomic<std::uint64_t> received_ = 0;
  std::atomic<std::uint64_t> granted_ = 0;  // The largest grant that may have been sent.

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<wire::NodeMessage> messages_;
  std::deque<inference::RequestId> answers_;  // In the outbox, to be sent.
  bool heartbeat_now_ = false;
  std::chrono::steady_clock::time_point heartbeat_due_;
  std::optional<wire::Goodbye> goodbye_;
  std::jthread writer_;
};

}  // namespace ncn::node
