#include "node/workload.h"

#include <optional>

#include "gtest/gtest.h"

namespace ncn::node {
namespace {

using Admission = Workload::Admission;

std::shared_ptr<const inference::InferenceRequest> Request(const std::string& id,
                                                           const std::string& model = "m") {
  return std::make_shared<const inference::InferenceRequest>(
      inference::InferenceRequest{.id = *inference::RequestId::Parse(id),
                                  .model = *inference::ModelId::Parse(model),
                                  .input = {"x", ""}});
}

// Runs until it is released or told to stop.
class HeldExecution final : public execution::Execution {
 public:
  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const execution::ExecutionContext& context) override {
    std::unique_lock lock(mutex_);
    ++started_;
    changed_.notify_all();
    const bool released = changed_.wait(lock, context.stop, [this] { return released_; });
    return execution::FailedResponse(request,
                                     {.kind = released ? inference::FailureKind::kInternal
                                                       : inference::FailureKind::kCancelled});
  }
  void AwaitStarted(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return started_ >= count; });
  }
  void Release() {
    std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  int started_ = 0;
  bool released_ = false;
};

class WorkloadTest : public testing::Test {
 protected:
  void AwaitAnswers(std::size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return finished >= count; });
  }

  HeldExecution execution;
  MemoryOutbox outbox{{}};
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t finished = 0;
  Workload workload{{.slots = 1, .queue_capacity = 1},
                    execution,
                    outbox,
                    {.on_finished = [this](const inference::RequestId&) {
                      std::lock_guard lock(mutex);
                      ++finished;
                      changed.notify_all();
                    }}};
};

TEST_F(WorkloadTest, TakesNoMoreThanSlotsAndQueue) {
  EXPECT_EQ(workload.Submit(Request("a")), Admission::kAccepted);
  execution.AwaitStarted(1);
  EXPECT_EQ(workload.Submit(Request("b")), Admission::kAccepted);
  EXPECT_EQ(workload.Submit(Request("c")), Admission::kFull);
  EXPECT_EQ(workload.load().running, 1U);
  EXPECT_EQ(workload.load().queued, 1U);
  execution.Release();
  AwaitAnswers(2);
  EXPECT_EQ(outbox.usage().count, 2U);
  EXPECT_TRUE(workload.Unanswered().empty());
}

TEST_F(WorkloadTest, TellsDuplicatesFromNewRequests) {
  EXPECT_EQ(workload.Submit(Request("a")), Admission::kAccepted);
  EXPECT_EQ(workload.Submit(Request("a")), Admission::kRunning);
  EXPECT_EQ(workload.Submit(Request("a", "other")), Admission::kDuplicate);
  execution.Release();
  AwaitAnswers(1);
  EXPECT_EQ(workload.Submit(Request("a")), Admission::kFinished);
  EXPECT_EQ(workload.Submit(Request("a", "other")), Admission::kDuplicate);
}

TEST_F(WorkloadTest, CancelAnswersWhatWaitsAndStopsWhatRuns) {
  workload.Submit(Request("a"));
  execution.AwaitStarted(1);
  workload.Submit(Request("b"));
  EXPECT_TRUE(workload.Cancel(*inference::RequestId::Parse("b")));
  AwaitAnswers(1);
  EXPECT_TRUE(workload.Cancel(*inference::RequestId::Parse("a")));
  AwaitAnswers(2);
  EXPECT_FALSE(workload.Cancel(*inference::RequestId::Parse("a")));
  for (const inference::RequestId& id : outbox.Pending()) {
    EXPECT_EQ(outbox.Find(id)->failure().kind, inference::FailureKind::kCancelled);
  }
}

TEST_F(WorkloadTest, AbandonedRequestsLeaveNoAnswer) {
  workload.Submit(Request("a"));
  execution.AwaitStarted(1);
  workload.Submit(Request("b"));
  workload.Close();
  EXPECT_EQ(workload.Submit(Request("c")), Admission::kClosed);
  EXPECT_EQ(workload.Abandon().size(), 2U);
  AwaitAnswers(1);
  EXPECT_EQ(outbox.usage().count, 0U);
}

}  // namespace
}  // namespace ncn::node
