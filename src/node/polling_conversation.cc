#include "node/polling_conversation.h"

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "ncn/v2/gateway_compute.grpc.pb.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn::node {
namespace {

using Stub = v2::GatewayComputeService::Stub;

constexpr std::chrono::seconds kCallTimeout{60};
constexpr std::chrono::milliseconds kTaskWait{20000};
constexpr std::chrono::milliseconds kPlacePollInterval{200};
constexpr std::chrono::milliseconds kHeartbeatIntervalMin{10};

}  // namespace

class PollingConversation::Calls {
 public:
  explicit Calls(std::shared_ptr<grpc::Channel> channel)
      : stub_(v2::GatewayComputeService::NewStub(std::move(channel))) {}

  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    {
      std::lock_guard lock(mutex_);
      if (aborted_) return absl::CancelledError("the session has ended");
      contexts_.insert(&context);
    }
    const grpc::Status status = (stub_.get()->*method)(&context, request, response);
    std::lock_guard lock(mutex_);
    contexts_.erase(&context);
    return wire::FromGrpc(status);
  }

  void Abort() {
    std::lock_guard lock(mutex_);
    aborted_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
  }

  std::string token;  // Constant after the handshake.

 private:
  const std::unique_ptr<Stub> stub_;
  std::mutex mutex_;
  std::set<grpc::ClientContext*> contexts_;
  bool aborted_ = false;
};

PollingConversation::PollingConversation(Environment environment,
                                         std::shared_ptr<grpc::Channel> channel,
                                         std::string authority)
    : environment_(std::move(environment)),
      authority_(std::move(authority)),
      calls_(std::make_unique<Calls>(std::move(channel))),
      heartbeat_interval_(environment_.options.heartbeat_interval) {}

PollingConversation::~PollingConversation() { Abort(); }

absl::Status PollingConversation::Handshake() {
  v2::RegisterComputeNodeRequest request;
  request.set_protocol_version(wire::kProtocolVersion);
  wire::Encode(environment_.describe(), request.mutable_info());
  v2::RegisterComputeNodeResponse response;
  RETURN_IF_ERROR(calls_->Call(&Stub::RegisterComputeNode, request, &response));
  if (!response.has_challenge()) {
    return absl::FailedPreconditionError("the gateway did not begin with a challenge");
  }
  const std::string nonce = response.challenge().nonce();
  ASSIGN_OR_RETURN(std::string proof, environment_.sign(nonce, authority_, wire::kProtocolVersion));
  request.set_nonce(nonce);
  request.set_wallet_proof(std::move(proof));
  response.Clear();
  RETURN_IF_ERROR(calls_->Call(&Stub::RegisterComputeNode, request, &response));
  if (response.session_token().empty()) {
    return absl::FailedPreconditionError("the gateway did not register the node");
  }
  calls_->token = response.session_token();
  if (response.heartbeat_interval_ms() > 0) {
    heartbeat_interval_ = std::max(std::chrono::milliseconds(response.heartbeat_interval_ms()),
                                   kHeartbeatIntervalMin);
  }
  for (const inference::RequestId& id : environment_.outbox.Pending()) NotifyFinished(id);
  return absl::OkStatus();
}

absl::Status PollingConversation::Run() {
  fetcher_ = std::jthread([this](std::stop_token stop) { Fetch(stop); });
  auto heartbeat_due = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (over_.ok()) {
    changed_.wait_until(lock, heartbeat_due, [this] {
      return !over_.ok() || !answers_.empty() || heartbeat_now_ || leaving_;
    });
    if (!over_.ok()) break;
    absl::Status sent;
    if (!answers_.empty()) {
      const inference::RequestId id = std::move(answers_.front());
      answers_.pop_front();
      lock.unlock();
      sent = SendAnswer(id);
    } else {
      heartbeat_now_ = false;
      if (leaving_) over_ = absl::CancelledError("the node has left");
      lock.unlock();
      sent = SendHeartbeat();
      heartbeat_due = std::chrono::steady_clock::now() + heartbeat_interval_;
    }
    lock.lock();
    if (over_.ok()) over_ = sent;
  }
  absl::Status over = over_;
  lock.unlock();
  Abort();
  fetcher_.request_stop();
  fetcher_.join();
  return over;
}

void PollingConversation::Fetch(std::stop_token stop) {
  v2::GetTaskRequest request;
  request.set_session_token(calls_->token);
  request.set_wait_ms(static_cast<std::uint32_t>(kTaskWait.count()));
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, kPlacePollInterval, [this] { return HasPlace(); });
    }
    if (stop.stop_requested() || !HasPlace()) continue;
    v2::GetTaskResponse response;
    if (absl::Status status = calls_->Call(&Stub::GetTask, request, &response); !status.ok()) {
      Fail(status);
      return;
    }
    if (!response.has_request()) continue;
    auto decoded =
        wire::Decode(std::move(*response.mutable_request()),
                     {.input_bytes_max = environment_.options.connection.payload_bytes_max});
    if (decoded.ok()) {
      Accept(std::make_shared<const inference::InferenceRequest>(*std::move(decoded)));
    } else {
      // There is no call to refuse it with; the gateway's own time limit ends it.
      base::Log("node").warn("ignored a request: {}", decoded.status().ToString());
    }
  }
}

bool PollingConversation::HasPlace() const {
  const Workload::Load load = environment_.workload.load();
  return environment_.state() == wire::NodeState::kReady && environment_.outbox.HasRoom() &&
         load.running + load.queued < environment_.workload.capacity();
}

void PollingConversation::Accept(wire::SharedRequest request) {
  using Admission = Workload::Admission;
  const Admission admission = environment_.workload.Submit(request);
  if (admission == Admission::kFinished) NotifyFinished(request->id);
  if (admission == Admission::kAccepted || admission == Admission::kRunning ||
      admission == Admission::kFinished) {
    return;
  }
  // The node has begun to leave while the request was on its way; the answer sends it elsewhere.
  const absl::Status kept =
      environment_.outbox.Put(std::make_shared<const inference::InferenceResponse>(
          execution::FailedResponse(*request, {.kind = inference::FailureKind::kQueueFull,
                                               .message = "This node is about to leave",
                                               .cure = "Send the request to another node"})));
  if (kept.ok()) NotifyFinished(request->id);
}

absl::Status PollingConversation::SendAnswer(const inference::RequestId& id) {
  const wire::SharedResponse response = environment_.outbox.Find(id);
  if (response == nullptr) return absl::OkStatus();
  v2::SubmitResultRequest request;
  request.set_session_token(calls_->token);
  wire::Encode(*response, request.mutable_response());
  v2::SubmitResultResponse reply;
  RETURN_IF_ERROR(calls_->Call(&Stub::SubmitResult, request, &reply));
  if (reply.ack().verdict() == v2::ACK_VERDICT_REFUSED) {
    base::Log("node").error("the gateway refused the answer to {}", id.value());
  }
  environment_.outbox.Remove(id);
  environment_.acknowledged();
  return absl::OkStatus();
}

absl::Status PollingConversation::SendHeartbeat() {
  v2::UpdateHeartbeatRequest request;
  request.set_session_token(calls_->token);
  wire::Encode(environment_.describe(), request.mutable_heartbeat()->mutable_info());
  {
    std::lock_guard lock(mutex_);
    for (std::string& id : unfinished_) request.add_unfinished(std::move(id));
    unfinished_.clear();
  }
  v2::UpdateHeartbeatResponse response;
  RETURN_IF_ERROR(calls_->Call(&Stub::UpdateHeartbeat, request, &response));
  for (const std::string& text : response.cancelled()) {
    if (const auto id = inference::RequestId::Parse(text); id.ok()) {
      environment_.workload.Cancel(*id);
    }
  }
  return absl::OkStatus();
}

void PollingConversation::Fail(const absl::Status& why) {
  {
    std::lock_guard lock(mutex_);
    if (over_.ok()) over_ = why;
  }
  changed_.notify_all();
}

void PollingConversation::NotifyStarted(const inference::RequestId& /*id*/) {}

void PollingConversation::NotifyFinished(const inference::RequestId& id) {
  {
    std::lock_guard lock(mutex_);
    if (std::find(answers_.begin(), answers_.end(), id) == answers_.end()) answers_.push_back(id);
  }
  changed_.notify_all();
}

void PollingConversation::NotifyChanged() {
  {
    std::lock_guard lock(mutex_);
    heartbeat_now_ = true;
  }
  changed_.notify_all();
}

void PollingConversation::HandBack(const std::vector<std::string>& request_ids) {
  {
    std::lock_guard lock(mutex_);
    unfinished_.insert(unfinished_.end(), request_ids.begin(), request_ids.end());
    heartbeat_now_ = true;
  }
  changed_.notify_all();
}

void PollingConversation::Leave(wire::Goodbye goodbye) {
  HandBack(goodbye.unfinished);
  {
    std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
}

void PollingConversation::Abort() {
  Fail(absl::CancelledError("the session has ended"));
  calls_->Abort();
}

}  // namespace ncn::node
