#include "reference/node_session.h"

#include <utility>

#include "base/hex.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "reference/result_intake.h"
#include "signing/address.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

// Acknowledgements and cancels that wait for a node that does not read, besides requests, which
// credits bound.
constexpr std::size_t kOutgoingMax = 20000;
// A node that stays silent for this many heartbeat intervals is gone.
constexpr int kSilentIntervalsMax = 4;

}  // namespace

std::shared_ptr<NodeSessionCall> NodeSessionCall::Start(const Environment& environment,
                                                        std::string authority) {
  std::shared_ptr<NodeSessionCall> call(new NodeSessionCall(environment, std::move(authority)));
  call->self_ = call;
  call->StartRead(&call->incoming_);
  call->Send(call->challenge_);
  return call;
}

NodeSessionCall::NodeSessionCall(const Environment& environment, std::string authority)
    : environment_(environment),
      authority_(std::move(authority)),
      challenge_(environment.authority.NewChallenge()),
      heard_at_(environment.clock.SteadyNow()) {}

void NodeSessionCall::SendRequest(wire::SharedRequest request) { Send(std::move(request)); }

void NodeSessionCall::SendCancel(const std::string& request_id, const std::string& reason) {
  Send(wire::Cancel{request_id, reason});
}

void NodeSessionCall::SendDrain(std::chrono::milliseconds deadline) {
  Send(wire::Drain{.reason = "the gateway is shutting down", .deadline = deadline});
}

void NodeSessionCall::Replace() {
  Close({grpc::StatusCode::ABORTED, "the node has connected anew"});
}

void NodeSessionCall::CheckAlive() {
  std::lock_guard lock(mutex_);
  const auto silent = environment_.clock.SteadyNow() - heard_at_;
  if (node_ == 0 && silent > environment_.handshake_timeout) {
    CloseLocked({grpc::StatusCode::DEADLINE_EXCEEDED, "the node did not say hello in time"});
  } else if (silent > environment_.heartbeat_interval * kSilentIntervalsMax +
                          environment_.handshake_timeout) {
    CloseLocked({grpc::StatusCode::DEADLINE_EXCEEDED, "the node has fallen silent"});
  }
}

void NodeSessionCall::Close(const grpc::Status& status) {
  std::lock_guard lock(mutex_);
  CloseLocked(status);
}

void NodeSessionCall::CloseLocked(const grpc::Status& status) {
  if (std::exchange(closed_, true)) return;
  outgoing_.clear();
  Finish(status);
}

void NodeSessionCall::OnReadDone(bool ok) {
  if (!ok) {
    Close(grpc::Status::OK);  // The node has said all it wants to, or is gone.
    return;
  }
  if (!environment_.workers.Post([self = shared_from_this()] { self->HandleIncoming(); })) {
    Close({grpc::StatusCode::RESOURCE_EXHAUSTED, "the gateway is overloaded"});
  }
}

void NodeSessionCall::OnWriteDone(bool ok) {
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) CloseLocked(grpc::Status::CANCELLED);
  }
  PostPump();
}

void NodeSessionCall::OnCancel() {
  Close({grpc::StatusCode::UNAVAILABLE, "the gateway is shutting down"});
}

void NodeSessionCall::OnDone() {
  std::shared_ptr<NodeSessionCall> self;
  Broker::NodeKey node = 0;
  {
    std::lock_guard lock(mutex_);
    self = std::move(self_);
    node = std::exchange(node_, 0);
  }
  if (node != 0) environment_.broker.Detach(node);
}

void NodeSessionCall::HandleIncoming() {
  {
    std::lock_guard lock(mutex_);
    heard_at_ = environment_.clock.SteadyNow();
    if (closed_) return;
  }
  auto message = wire::Decode(std::move(incoming_));
  const absl::Status status = message.ok() ? Handle(*std::move(message)) : message.status();
  std::lock_guard lock(mutex_);
  if (!status.ok()) {
    base::Log("reference").warn("session of node '{}' ends: {}", address_, status.ToString());
    CloseLocked(wire::ToGrpc(status));
  }
  if (!closed_) StartRead(&incoming_);
}

absl::Status NodeSessionCall::Handle(wire::NodeMessage message) {
  if (environment_.observer) environment_.observer(address_, message);
  if (const auto* hello = std::get_if<wire::Hello>(&message.body)) {
    return HandleHello(*hello, message.credits);
  }
  if (address_.empty()) return absl::FailedPreconditionError("the node did not say hello first");
  Broker& broker = environment_.broker;
  if (auto* heartbeat = std::get_if<wire::Heartbeat>(&message.body)) {
    broker.Update(attached_, std::move(heartbeat->info), message.credits);
  } else if (const auto* progress = std::get_if<wire::Progress>(&message.body)) {
    broker.Progress(attached_, *progress);
  } else if (const auto* response = std::get_if<wire::SharedResponse>(&message.body)) {
    Send(TakeResponse(broker, attached_, address_, *response));
  } else if (const auto* reject = std::get_if<wire::Reject>(&message.body)) {
    broker.Reject(attached_, *reject);
  } else if (const auto* goodbye = std::get_if<wire::Goodbye>(&message.body)) {
    base::Log("reference").info("node {} leaves: {}", address_, goodbye->reason);
    broker.Leave(attached_, goodbye->unfinished);
  } else if (const auto* malformed = std::get_if<wire::Malformed>(&message.body)) {
    const std::string why(base::ToStd(malformed->why.message()));
    broker.Distrust(attached_, malformed->request_id, why);
    Send(wire::ResultAck{malformed->request_id, wire::AckVerdict::kRefused, why});
  }
  broker.Update(attached_, std::nullopt, message.credits);
  return absl::OkStatus();
}

absl::Status NodeSessionCall::HandleHello(const wire::Hello& hello, std::uint64_t credits) {
  if (!address_.empty()) return absl::FailedPreconditionError("the node said hello twice");
  RETURN_IF_ERROR(environment_.authority.Verify(challenge_.nonce, authority_,
                                                hello.protocol_version, hello.info.address,
                                                hello.wallet_proof));
  address_ = signing::EthereumAddress::Parse(hello.info.address)->ToString();  // One spelling.
  // The node hears that it is welcome before any request, and not before it can be given one.
  Hold(wire::Welcome{.session_id = base::HexEncode(RandomBytes().substr(0, 8)),
                     .heartbeat_interval = environment_.heartbeat_interval,
                     .message_bytes_max = environment_.message_bytes_max,
                     .gateway_version = environment_.gateway_version});
  base::Log("reference")
      .info("node {} connected, sandbox {}, models {}", address_, hello.info.sandbox_mode,
            hello.info.supported_models.size());
  wire::NodeInfo info = hello.info;
  info.address = address_;
  attached_ = environment_.broker.Attach(std::move(info), shared_from_this(), credits,
                                         hello.running, hello.unacknowledged);
  bool gone = false;
  {
    std::lock_guard lock(mutex_);
    held_ = false;
    gone = self_ == nullptr;  // OnDone came first and saw no node to detach.
    if (!gone) node_ = attached_;
  }
  if (gone) environment_.broker.Detach(attached_);
  PostPump();
  return absl::OkStatus();
}

// Like Send, but nothing leaves until held_ is reset.
void NodeSessionCall::Hold(wire::GatewayMessage message) {
  std::lock_guard lock(mutex_);
  outgoing_.push_back(std::move(message));
  held_ = true;
}

void NodeSessionCall::Send(wire::GatewayMessage message) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    if (outgoing_.size() >= kOutgoingMax) {
      CloseLocked({grpc::StatusCode::RESOURCE_EXHAUSTED, "the node does not read its messages"});
      return;
    }
    outgoing_.push_back(std::move(message));
  }
  PostPump();
}

void NodeSessionCall::PostPump() {
  {
    std::lock_guard lock(mutex_);
    if (closed_ || held_ || writing_ || pumping_ || outgoing_.empty()) return;
    pumping_ = true;
  }
  if (!environment_.workers.Post([self = shared_from_this()] { self->Pump(); })) {
    Close({grpc::StatusCode::RESOURCE_EXHAUSTED, "the gateway is overloaded"});
  }
}

// On a worker, for encoding copies payloads, and senders hold locks.
void NodeSessionCall::Pump() {
  std::lock_guard lock(mutex_);
  pumping_ = false;
  if (closed_ || held_ || writing_ || outgoing_.empty()) return;
  encoded_.Clear();
  wire::Encode(outgoing_.front(), &encoded_);
  outgoing_.pop_front();
  writing_ = true;
  StartWrite(&encoded_);
}

}  // namespace ncn::reference
