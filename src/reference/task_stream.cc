#include "reference/task_stream.h"

#include <utility>

#include "wire/codec.h"

namespace ncn::reference {

std::shared_ptr<TaskStream> TaskStream::Start(Workers& workers) {
  std::shared_ptr<TaskStream> stream(new TaskStream(workers));
  stream->self_ = stream;
  return stream;
}

void TaskStream::OnUpdate(wire::TaskUpdate update) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    next_ = std::move(update);
  }
  PostPump();
}

void TaskStream::Close(const grpc::Status& status) {
  std::lock_guard lock(mutex_);
  CloseLocked(status);
}

void TaskStream::CloseLocked(const grpc::Status& status) {
  if (std::exchange(closed_, true)) return;
  next_.reset();
  Finish(status);
}

void TaskStream::OnWriteDone(bool ok) {
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) CloseLocked(grpc::Status::CANCELLED);
    if (final_sent_) CloseLocked(grpc::Status::OK);
  }
  PostPump();
}

void TaskStream::OnCancel() {
  Close({grpc::StatusCode::UNAVAILABLE, "the gateway is shutting down"});
}

void TaskStream::OnDone() {
  std::shared_ptr<TaskStream> self;  // Outlives the lock.
  std::lock_guard lock(mutex_);
  self = std::move(self_);
}

void TaskStream::PostPump() {
  {
    std::lock_guard lock(mutex_);
    if (closed_ || writing_ || pumping_ || !next_) return;
    pumping_ = true;
  }
  if (!workers_.Post([self = shared_from_this()] { self->Pump(); })) {
    Close({grpc::StatusCode::RESOURCE_EXHAUSTED, "the gateway is overloaded"});
  }
}

void TaskStream::Pump() {
  std::lock_guard lock(mutex_);
  pumping_ = false;
  if (closed_ || writing_ || !next_) return;
  encoded_.Clear();
  wire::Encode(*next_, &encoded_);
  final_sent_ = next_->final();
  next_.reset();
  writing_ = true;
  StartWrite(&encoded_);
}

}  // namespace ncn::reference
