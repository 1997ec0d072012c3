#include "reference/polling_nodes.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/status_macros.h"
#include "reference/polling_node.h"
#include "reference/result_intake.h"
#include "signing/address.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kNoncesMax = 10000;
constexpr std::chrono::seconds kNonceAgeMax{60};
constexpr std::uint32_t kWaitMsMax = 60000;

absl::Status RegisterAgain() {
  return absl::UnauthenticatedError("the session token is not known; register again");
}

}  // namespace

PollingNodes::PollingNodes(const Options& options, Broker& broker, Workers& workers,
                           const base::Clock& clock)
    : options_(options), broker_(broker), workers_(workers), clock_(clock) {}

PollingNodes::~PollingNodes() = default;

absl::Status PollingNodes::Register(const NodeAuthority& authority, const std::string& name,
                                    const v2::RegisterComputeNodeRequest& request,
                                    v2::RegisterComputeNodeResponse* response) {
  const base::SteadyTime now = clock_.SteadyNow();
  if (request.nonce().empty()) {
    wire::Challenge challenge = authority.NewChallenge();
    std::lock_guard lock(mutex_);
    if (nonces_.size() >= kNoncesMax) return absl::ResourceExhaustedError("too many nodes at once");
    nonces_.emplace(challenge.nonce, now);
    response->mutable_challenge()->set_nonce(std::move(challenge.nonce));
    response->mutable_challenge()->set_gateway(std::move(challenge.gateway));
    response->mutable_challenge()->set_protocol_version(challenge.protocol_version);
    return absl::OkStatus();
  }
  {
    std::lock_guard lock(mutex_);
    if (nonces_.erase(request.nonce()) == 0) {
      return absl::UnauthenticatedError("the nonce is not known or was used; ask for a new one");
    }
  }
  RETURN_IF_ERROR(authority.Verify(request.nonce(), name, request.protocol_version(),
                                   request.info().address(), request.wallet_proof()));
  ASSIGN_OR_RETURN(wire::NodeInfo info, wire::Decode(v2::NodeInfo(request.info())));
  ASSIGN_OR_RETURN(const auto address, signing::EthereumAddress::Parse(info.address));
  const auto node = std::make_shared<PollingNode>(address.ToString(), broker_, workers_, clock_);
  std::string token = base::HexEncode(RandomBytes());
  node->Attach(std::move(info));
  std::lock_guard lock(mutex_);
  if (nodes_.size() >= options_.nodes_max) {
    node->Forget();
    return absl::ResourceExhaustedError("the gateway has too many nodes");
  }
  nodes_.emplace(token, node);
  response->set_session_token(std::move(token));
  response->set_heartbeat_interval_ms(
      static_cast<std::uint32_t>(options_.heartbeat_interval.count()));
  return absl::OkStatus();
}

absl::Status PollingNodes::Heartbeat(const v2::UpdateHeartbeatRequest& request,
                                     v2::UpdateHeartbeatResponse* response) {
  const std::shared_ptr<PollingNode> node = Find(request.session_token());
  if (node == nullptr) return RegisterAgain();
  node->Hear();
  ASSIGN_OR_RETURN(wire::NodeInfo info, wire::Decode(v2::NodeInfo(request.heartbeat().info())));
  const bool draining = info.state == wire::NodeState::kDraining;
  broker_.Update(node->key(), std::move(info), 0);
  if (draining) {
    broker_.Leave(node->key(), {request.unfinished().begin(), request.unfinished().end()});
  }
  for (std::string& id : node->TakeCancelled()) response->add_cancelled(std::move(id));
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* PollingNodes::GetTask(const v2::GetTaskRequest& request,
                                                v2::GetTaskResponse* response) {
  auto* call = new GetTaskCall(response);
  const std::shared_ptr<PollingNode> node = Find(request.session_token());
  if (node == nullptr) {
    call->FinishWith(wire::ToGrpc(RegisterAgain()));
    return call;
  }
  call->WaitAt(node);
  node->Wait(call, clock_.SteadyNow() +
                       std::chrono::milliseconds(std::min(request.wait_ms(), kWaitMsMax)));
  return call;
}

absl::Status PollingNodes::SubmitResult(v2::SubmitResultRequest&& request,
                                        v2::SubmitResultResponse* response) {
  const std::shared_ptr<PollingNode> node = Find(request.session_token());
  if (node == nullptr) return RegisterAgain();
  node->Hear();
  ASSIGN_OR_RETURN(auto decoded, wire::Decode(std::move(*request.mutable_response())));
  const wire::ResultAck ack =
      TakeResponse(broker_, node->key(), node->address(),
                   std::make_shared<const inference::InferenceResponse>(std::move(decoded)));
  v2::GatewayMessage message;
  wire::Encode(wire::GatewayMessage(ack), &message);
  response->mutable_ack()->Swap(message.mutable_ack());
  return absl::OkStatus();
}

void PollingNodes::Tick() {
  const base::SteadyTime now = clock_.SteadyNow();
  std::vector<std::shared_ptr<PollingNode>> gone;
  std::vector<std::shared_ptr<PollingNode>> alive;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(nonces_, [&](const auto& entry) { return now - entry.second > kNonceAgeMax; });
    std::erase_if(nodes_, [&](const auto& entry) {
      const bool is_gone = entry.second->IsGone(options_.silence_max);
      (is_gone ? gone : alive).push_back(entry.second);
      return is_gone;
    });
  }
  for (const std::shared_ptr<PollingNode>& node : gone) node->Forget();
  for (const std::shared_ptr<PollingNode>& node : alive) node->EndWait(now);
}

std::shared_ptr<PollingNode> PollingNodes::Find(const std::string& token) {
  std::lock_guard lock(mutex_);
  const auto found = nodes_.find(token);
  return found == nodes_.end() ? nullptr : found->second;
}

}  // namespace ncn::reference
