#include "node/session_stream.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"
#include "ncn/v2/gateway_compute.grpc.pb.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn::node {
namespace {

class GrpcSessionStream final
    : public SessionStream,
      private grpc::ClientBidiReactor<v2::NodeMessage, v2::GatewayMessage> {
 public:
  GrpcSessionStream(std::shared_ptr<grpc::Channel> channel, const inference::RequestLimits& limits)
      : limits_(limits), stub_(v2::GatewayComputeService::NewStub(std::move(channel))) {
    stub_->async()->Session(&context_, this);
    AddHold();  // Writes start outside of reactions; OnDone waits until the destructor lets go.
    StartRead(&incoming_);
    StartCall();
  }

  ~GrpcSessionStream() override {
    context_.TryCancel();
    Finish().IgnoreError();
  }

  absl::StatusOr<wire::GatewayMessage> Read(std::chrono::milliseconds timeout) override {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, timeout, [this] { return Readable(); })) {
        return absl::DeadlineExceededError("the gateway did not answer in time");
      }
    }
    return Take();
  }

  absl::StatusOr<wire::GatewayMessage> Read() override {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return Readable(); });
    }
    return Take();
  }

  bool Write(const wire::NodeMessage& message) override {
    if (!WaitForWriter()) return false;
    outgoing_.Clear();
    wire::Encode(message, &outgoing_);
    StartWrite(&outgoing_);
    return true;
  }

  void HalfClose() override {
    if (WaitForWriter()) StartWritesDone();
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      (ok ? arrived_ : reads_over_) = true;
    }
    changed_.notify_all();
  }

  void OnWriteDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      if (!ok) writes_over_ = true;
    }
    changed_.notify_all();
  }

  void OnWritesDoneDone(bool /*ok*/) override { OnWriteDone(true); }

  void OnDone(const grpc::Status& status) override {
    // Notified under the lock: the destructor may free this object as soon as it sees done_.
    std::lock_guard lock(mutex_);
    status_ = wire::FromGrpc(status);
    done_ = true;
    changed_.notify_all();
  }

  bool Readable() const { return arrived_ || reads_over_; }

  // Claims the outgoing message; it is given back by OnWriteDone.
  bool WaitForWriter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !writing_ || writes_over_ || reads_over_; });
    if (writes_over_ || reads_over_) return false;
    writing_ = true;
    return true;
  }

  absl::StatusOr<wire::GatewayMessage> Take() {
    v2::GatewayMessage message;
    bool arrived = false;
    {
      std::lock_guard lock(mutex_);
      std::swap(arrived, arrived_);
      if (arrived) message.Swap(&incoming_);
    }
    if (!arrived) return Finish();
    StartRead(&incoming_);
    return wire::Decode(std::move(message), limits_);
  }

  // Lets the call end and returns how it ended. No write can begin any more, for reading is over or
  // nobody else uses the stream.
  absl::Status Finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !writing_; });
    if (!std::exchange(released_, true)) {
      lock.unlock();
      RemoveHold();
      lock.lock();
    }
    changed_.wait(lock, [this] { return done_; });
    return status_.ok() ? absl::UnavailableError("the gateway ended the session") : status_;
  }

  const inference::RequestLimits limits_;
  const std::unique_ptr<v2::GatewayComputeService::Stub> stub_;
  grpc::ClientContext context_;
  v2::GatewayMessage incoming_;  // gRPC's while a read is under way, ours while arrived_.
  v2::NodeMessage outgoing_;     // gRPC's while writing_.

  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;
  bool reads_over_ = false;
  bool writing_ = false;
  bool writes_over_ = false;
  bool released_ = false;
  bool done_ = false;
  absl::Status status_;
};

}  // namespace

std::unique_ptr<SessionStream> SessionStream::Open(std::shared_ptr<grpc::Channel> channel,
                                                   const inference::RequestLimits& limits) {
  return std::make_unique<GrpcSessionStream>(std::move(channel), limits);
}

}  // namespace ncn::node
