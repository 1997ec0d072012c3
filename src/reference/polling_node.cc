#include "reference/polling_node.h"

#include <utility>

#include "wire/codec.h"

namespace ncn::reference {

void GetTaskCall::FinishWith(const wire::SharedRequest& request) {
  if (request != nullptr) wire::Encode(*request, response_->mutable_request());
  Finish(grpc::Status::OK);
}

void GetTaskCall::OnCancel() {
  if (const std::shared_ptr<PollingNode> node = node_.lock()) node->GiveUp(this);
}

PollingNode::PollingNode(std::string address, Broker& broker, Workers& workers,
                         const base::Clock& clock)
    : address_(std::move(address)),
      broker_(broker),
      workers_(workers),
      clock_(clock),
      heard_at_(clock.SteadyNow()) {}

void PollingNode::Attach(wire::NodeInfo info) {
  info.address = address_;
  const Broker::NodeKey key = broker_.Attach(std::move(info), shared_from_this(), 0, {}, {});
  std::lock_guard lock(mutex_);
  key_ = key;
}

void PollingNode::SendRequest(wire::SharedRequest request) {
  {
    std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
  }
  // When there is no room for the task, the request stays for the next GetTask.
  static_cast<void>(workers_.Post([self = shared_from_this()] { self->Deliver(); }));
}

void PollingNode::SendCancel(const std::string& request_id, const std::string& /*reason*/) {
  std::lock_guard lock(mutex_);
  cancelled_.push_back(request_id);
}

void PollingNode::Replace() {
  std::lock_guard lock(mutex_);
  replaced_ = true;
}

void PollingNode::Hear() {
  std::lock_guard lock(mutex_);
  heard_at_ = clock_.SteadyNow();
}

void PollingNode::Wait(GetTaskCall* call, base::SteadyTime until) {
  Hear();
  std::unique_lock lock(mutex_);
  if (waiting_ != nullptr) {
    lock.unlock();
    call->FinishWith({grpc::StatusCode::FAILED_PRECONDITION, "another GetTask waits already"});
    return;
  }
  if (!requests_.empty()) {
    const wire::SharedRequest request = std::move(requests_.front());
    requests_.pop_front();
    lock.unlock();
    call->FinishWith(request);
    return;
  }
  waiting_ = call;
  wait_until_ = until;
  const std::uint64_t credits = ++credits_;
  const Broker::NodeKey key = key_;
  lock.unlock();
  broker_.Update(key, std::nullopt, credits);
}

void PollingNode::Deliver() {
  GetTaskCall* call = nullptr;
  wire::SharedRequest request;
  {
    std::lock_guard lock(mutex_);
    if (waiting_ == nullptr || requests_.empty()) return;
    call = std::exchange(waiting_, nullptr);
    request = std::move(requests_.front());
    requests_.pop_front();
  }
  call->FinishWith(request);
}

void PollingNode::EndWait(base::SteadyTime now) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_ == nullptr || now < wait_until_) return;
  }
  if (!broker_.WithdrawCredit(key())) return;  // A request for it is on its way.
  GetTaskCall* call = nullptr;
  {
    std::lock_guard lock(mutex_);
    --credits_;
    call = std::exchange(waiting_, nullptr);
  }
  if (call != nullptr) call->FinishWith(wire::SharedRequest());
}

void PollingNode::GiveUp(GetTaskCall* call) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_ != call) return;  // Whoever has taken it finishes it.
    waiting_ = nullptr;
  }
  if (broker_.WithdrawCredit(key())) {
    std::lock_guard lock(mutex_);
    --credits_;
  }
  call->FinishWith(grpc::Status::CANCELLED);
}

void PollingNode::Forget() {
  GetTaskCall* call = nullptr;
  {
    std::lock_guard lock(mutex_);
    call = std::exchange(waiting_, nullptr);
  }
  if (call != nullptr) call->FinishWith({grpc::StatusCode::UNAUTHENTICATED, "register again"});
  broker_.Detach(key());
}

std::vector<std::string> PollingNode::TakeCancelled() {
  std::lock_guard lock(mutex_);
  return std::exchange(cancelled_, {});
}

Broker::NodeKey PollingNode::key() const {
  std::lock_guard lock(mutex_);
  return key_;
}

bool PollingNode::IsGone(std::chrono::milliseconds silence_max) const {
  std::lock_guard lock(mutex_);
  return replaced_ || (waiting_ == nullptr && clock_.SteadyNow() - heard_at_ > silence_max);
}

}  // namespace ncn::reference
