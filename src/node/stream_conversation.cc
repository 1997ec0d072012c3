#include "node/stream_conversation.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::node {
namespace {

constexpr std::chrono::milliseconds kHeartbeatIntervalMin{10};

}  // namespace

StreamConversation::StreamConversation(Environment environment,
                                       std::unique_ptr<SessionStream> stream, std::string authority)
    : environment_(std::move(environment)),
      stream_(std::move(stream)),
      authority_(std::move(authority)),
      heartbeat_interval_(environment_.options.heartbeat_interval) {}

StreamConversation::~StreamConversation() { Abort(); }

absl::Status StreamConversation::Handshake() {
  const std::chrono::milliseconds timeout = environment_.options.handshake_timeout;
  ASSIGN_OR_RETURN(wire::GatewayMessage first, stream_->Read(timeout));
  const auto* challenge = std::get_if<wire::Challenge>(&first);
  if (challenge == nullptr) {
    return absl::FailedPreconditionError("the gateway did not begin with a challenge");
  }
  if (challenge->protocol_version != wire::kProtocolVersion) {
    return absl::FailedPreconditionError(
        base::StrCat("the gateway speaks version ", challenge->protocol_version,
                     " of the protocol, this node version ", wire::kProtocolVersion));
  }
  ASSIGN_OR_RETURN(std::string proof,
                   environment_.sign(challenge->nonce, authority_, wire::kProtocolVersion));
  wire::Hello hello{.info = environment_.describe(),
                    .wallet_proof = std::move(proof),
                    .running = environment_.workload.Unanswered()};
  for (const inference::RequestId& id : environment_.outbox.Pending()) {
    hello.unacknowledged.push_back(id.value());
    NotifyFinished(id);
  }
  stream_->Write({.credits = GrantCredits(), .body = std::move(hello)});
  ASSIGN_OR_RETURN(wire::GatewayMessage second, stream_->Read(timeout));
  const auto* welcome = std::get_if<wire::Welcome>(&second);
  if (welcome == nullptr) {
    return absl::FailedPreconditionError("the gateway did not welcome the node");
  }
  welcome_ = *welcome;
  if (welcome_.heartbeat_interval.count() > 0) {
    heartbeat_interval_ = std::max(welcome_.heartbeat_interval, kHeartbeatIntervalMin);
  }
  return absl::OkStatus();
}

absl::Status StreamConversation::Run() {
  heartbeat_due_ = std::chrono::steady_clock::now() + heartbeat_interval_;
  writer_ = std::jthread([this](std::stop_token stop) { Write(stop); });
  absl::Status over;
  while (over.ok()) {
    absl::StatusOr<wire::GatewayMessage> message = stream_->Read();
    over = message.ok() ? Handle(*std::move(message)) : message.status();
  }
  Abort();
  writer_.request_stop();
  writer_.join();
  return over;
}

absl::Status StreamConversation::Handle(wire::GatewayMessage message) {
  if (auto* request = std::get_if<wire::SharedRequest>(&message)) {
    return HandleRequest(std::move(*request));
  }
  if (auto* malformed = std::get_if<wire::Malformed>(&message)) {
    const bool too_large = malformed->why.code() == absl::StatusCode::kResourceExhausted;
    return RejectRequest(std::move(malformed->request_id),
                         too_large ? wire::RejectReason::kTooLarge : wire::RejectReason::kInvalid,
                         std::string(malformed->why.message()));
  }
  if (const auto* ack = std::get_if<wire::ResultAck>(&message)) HandleAck(*ack);
  if (const auto* cancel = std::get_if<wire::Cancel>(&message)) {
    if (const auto id = inference::RequestId::Parse(cancel->request_id); id.ok()) {
      environment_.workload.Cancel(*id);
    }
  }
  if (const auto* drain = std::get_if<wire::Drain>(&message)) {
    base::Log("node").info("the gateway is about to close the session: {}", drain->reason);
  }
  return absl::OkStatus();
}

absl::Status StreamConversation::HandleRequest(wire::SharedRequest request) {
  const inference::RequestId id = request->id;
  if (received_ >= granted_) {
    return RejectRequest(id.value(), wire::RejectReason::kNoCredit,
                         base::StrCat("this node has granted ", granted_.load(),
                                      " requests on this session; wait until it grants more"));
  }
  if (environment_.state() == wire::NodeState::kDraining) {
    return RejectRequest(id.value(), wire::RejectReason::kDraining,
                         "this node is about to leave; send the request to another");
  }
  using Admission = Workload::Admission;
  switch (environment_.workload.Submit(std::move(request))) {
    case Admission::kAccepted:
    case Admission::kRunning:
      ++received_;
      return absl::OkStatus();
    case Admission::kFinished:
      ++received_;
      NotifyFinished(id);
      return absl::OkStatus();
    case Admission::kDuplicate:
      return RejectRequest(id.value(), wire::RejectReason::kDuplicate,
                           "the id names a request for another model; choose a new one");
    case Admission::kFull:
      return RejectRequest(id.value(), wire::RejectReason::kNoCredit,
                           "every slot and every place in the queue is taken");
    case Admission::kClosed:
      break;
  }
  return RejectRequest(id.value(), wire::RejectReason::kDraining,
                       "this node is about to leave; send the request to another");
}

absl::Status StreamConversation::RejectRequest(std::string request_id, wire::RejectReason reason,
                                               std::string why) {
  base::Log("node").warn("refused request {}: {} ({})", request_id, wire::Name(reason), why);
  ++received_;
  if (Post({.body = wire::Reject{std::move(request_id), reason, std::move(why)}})) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError("the gateway floods this node with requests it must refuse");
}

void StreamConversation::HandleAck(const wire::ResultAck& ack) {
  const auto id = inference::RequestId::Parse(ack.request_id);
  if (!id.ok()) return;
  if (ack.verdict == wire::AckVerdict::kRefused) {
    base::Log("node").error("the gateway refused the answer to {}: {}", ack.request_id,
                            ack.message);
  }
  environment_.outbox.Remove(*id);
  environment_.acknowledged();
  { std::lock_guard lock(mutex_); }  // The writer waits, or has yet to look at the outbox.
  changed_.notify_all();             // Room in the outbox may allow a grant.
}

}  // namespace ncn::node
