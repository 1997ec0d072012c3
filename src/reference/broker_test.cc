#include "reference/broker.h"

#include "base/fake_clock.h"
#include "gtest/gtest.h"

namespace ncn::reference {
namespace {

using inference::FailureKind;
using std::chrono::milliseconds;
using std::chrono::seconds;

class FakeLink final : public NodeLink {
 public:
  void SendRequest(wire::SharedRequest request) override { sent.push_back(request->id.value()); }
  void SendCancel(const std::string& request_id, const std::string&) override {
    cancelled.push_back(request_id);
  }
  void Replace() override { replaced = true; }

  std::vector<std::string> sent;
  std::vector<std::string> cancelled;
  bool replaced = false;
};

class BrokerTest : public testing::Test {
 protected:
  wire::SharedRequest Request(const std::string& id, const std::string& model = "digits",
                              const std::string& input = "x") {
    return std::make_shared<const inference::InferenceRequest>(
        inference::InferenceRequest{.id = *inference::RequestId::Parse(id),
                                    .model = *inference::ModelId::Parse(model),
                                    .input = {input, inference::kOctetStream}});
  }
  wire::SharedResponse Failed(const std::string& id, FailureKind kind) {
    return std::make_shared<const inference::InferenceResponse>(
        inference::InferenceResponse{.request_id = *inference::RequestId::Parse(id),
                                     .model = *inference::ModelId::Parse("digits"),
                                     .outcome = inference::Failure{.kind = kind}});
  }
  Broker::NodeKey Attach(const std::shared_ptr<FakeLink>& link, const std::string& address,
                         std::uint64_t credits, const std::vector<std::string>& running = {}) {
    return broker.Attach(
        {.address = address, .supported_models = {"digits"}, .state = wire::NodeState::kReady},
        link, credits, running, {});
  }
  FailureKind KindOf(const std::string& id) {
    const auto update = broker.Get(id);
    return update.ok() && update->final() && !update->response->ok()
               ? update->response->failure().kind
               : FailureKind::kInvalidInput;
  }

  base::FakeClock clock;
  Broker broker{{.tasks_max = 10,
                 .finished = {.age_max = seconds(100)},
                 .queue_timeout = seconds(5),
                 .reconnect_grace = seconds(2),
                 .answer_timeout = seconds(50),
                 .attempts_max = 2},
                clock};
  std::shared_ptr<FakeLink> first = std::make_shared<FakeLink>();
  std::shared_ptr<FakeLink> second = std::make_shared<FakeLink>();
};

TEST_F(BrokerTest, SendsNoMoreThanTheCredits) {
  const Broker::NodeKey node = Attach(first, "A", 2);
  for (const char* id : {"r1", "r2", "r3", "r4"}) ASSERT_TRUE(broker.Submit(Request(id)).ok());
  EXPECT_EQ(first->sent, (std::vector<std::string>{"r1", "r2"}));
  broker.Update(node, std::nullopt, 3);
  EXPECT_EQ(first->sent, (std::vector<std::string>{"r1", "r2", "r3"}));
  broker.Update(node, std::nullopt, 1);  // A node cannot take back what it granted.
  broker.Update(node, std::nullopt, 4);
  EXPECT_EQ(first->sent.back(), "r4");
}

TEST_F(BrokerTest, WaitsForANodeOnlySoLong) {
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  Attach(first, "A", 0);
  clock.Advance(seconds(6));
  broker.Tick();
  EXPECT_EQ(KindOf("r1"), FailureKind::kQueueFull);
}

TEST_F(BrokerTest, ANodeThatComesBackInTimeKeepsItsTask) {
  const Broker::NodeKey node = Attach(first, "A", 1);
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  broker.Detach(node);
  clock.Advance(seconds(1));
  broker.Tick();
  Attach(second, "A", 1, {"r1"});
  clock.Advance(seconds(10));
  broker.Tick();
  EXPECT_TRUE(second->sent.empty());
  EXPECT_EQ(broker.Get("r1")->state, wire::TaskState::kDispatched);
}

TEST_F(BrokerTest, ANodeThatHasForgottenItsTaskGetsItAgain) {
  const Broker::NodeKey node = Attach(first, "A", 1);
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  broker.Detach(node);
  Attach(second, "A", 1);
  EXPECT_EQ(second->sent, (std::vector<std::string>{"r1"}));
}

TEST_F(BrokerTest, GivesUpAfterSoManyAttempts) {
  const Broker::NodeKey a = Attach(first, "A", 5);
  const Broker::NodeKey b = Attach(second, "B", 5);
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  EXPECT_EQ(broker.Complete(a, Failed("r1", FailureKind::kTimeout)), wire::AckVerdict::kAccepted);
  EXPECT_EQ(second->sent, (std::vector<std::string>{"r1"}));
  EXPECT_EQ(broker.Complete(b, Failed("r1", FailureKind::kTimeout)), wire::AckVerdict::kAccepted);
  EXPECT_EQ(KindOf("r1"), FailureKind::kTimeout);
}

TEST_F(BrokerTest, BelievesAFailureOnlyFromTheNodeThatHasTheTask) {
  Attach(first, "A", 5);
  const Broker::NodeKey b = Attach(second, "B", 1);
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  ASSERT_EQ(first->sent.size(), 1U);
  broker.Complete(b, Failed("r1", FailureKind::kInvalidInput));
  EXPECT_EQ(broker.Get("r1")->state, wire::TaskState::kDispatched);
}

TEST_F(BrokerTest, ANodeIsReplacedWhenItConnectsAnew) {
  Attach(first, "A", 1);
  Attach(second, "A", 1);
  EXPECT_TRUE(first->replaced);
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  EXPECT_EQ(second->sent.size(), 1U);
}

TEST_F(BrokerTest, HoldsNoMoreThanItsLimits) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(broker.Submit(Request("r" + std::to_string(i))).ok());
  }
  EXPECT_EQ(broker.Submit(Request("r10")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(broker.Cancel("r0").ok());
  EXPECT_TRUE(broker.Submit(Request("r10")).ok());
}

TEST_F(BrokerTest, ForgetsFinishedTasksInTime) {
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  ASSERT_TRUE(broker.Cancel("r1").ok());
  EXPECT_EQ(KindOf("r1"), FailureKind::kCancelled);
  clock.Advance(seconds(101));
  broker.Tick();
  EXPECT_EQ(broker.Get("r1").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BrokerTest, ANodeThatNeverAnswersIsGivenUp) {
  Attach(first, "A", 1);
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  clock.Advance(seconds(51));
  broker.Tick();
  EXPECT_EQ(KindOf("r1"), FailureKind::kTimeout);
  EXPECT_EQ(first->cancelled, (std::vector<std::string>{"r1"}));
}

TEST_F(BrokerTest, ADistrustedNodeGetsNothingMore) {
  const Broker::NodeKey node = Attach(first, "A", 5);
  ASSERT_TRUE(broker.Submit(Request("r1")).ok());
  broker.Distrust(node, "r1", "forged");
  EXPECT_EQ(KindOf("r1"), FailureKind::kExecutorProtocol);
  ASSERT_TRUE(broker.Submit(Request("r2")).ok());
  EXPECT_EQ(first->sent.size(), 1U);
}

}  // namespace
}  // namespace ncn::reference
