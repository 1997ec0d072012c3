// Either end of a session against a peer that breaks the rules.
#include <deque>
#include <future>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "ncn/v2/gateway_client.grpc.pb.h"
#include "ncn/v2/gateway_compute.grpc.pb.h"
#include "session_fixture.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn {
namespace {

using Stream = grpc::ServerReaderWriter<v2::GatewayMessage, v2::NodeMessage>;

// A gateway that welcomes everybody and then does what a test tells it to.
class ScriptedGateway final : public v2::GatewayComputeService::Service {
 public:
  using Script = std::function<void(Stream&)>;

  explicit ScriptedGateway(Script script) : script_(std::move(script)) {
    grpc::ServerBuilder builder;
    wire::ApplyToServer({}, builder);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedGateway() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }

  grpc::Status Session(grpc::ServerContext*, Stream* stream) override {
    v2::GatewayMessage challenge;
    challenge.mutable_challenge()->set_nonce(std::string(32, 'n'));
    challenge.mutable_challenge()->set_protocol_version(wire::kProtocolVersion);
    stream->Write(challenge);
    v2::NodeMessage hello;
    if (!stream->Read(&hello)) return grpc::Status::CANCELLED;
    first_credits = hello.credits();
    v2::GatewayMessage welcome;
    welcome.mutable_welcome()->set_session_id("s");
    stream->Write(welcome);
    script_(*stream);
    return grpc::Status::OK;
  }

  std::atomic<std::uint64_t> first_credits = 0;

 private:
  const Script script_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

v2::GatewayMessage RequestMessage(const std::string& id) {
  v2::GatewayMessage message;
  wire::Encode(MakeRequest(id), message.mutable_request());
  return message;
}

// The next reject among what the node says.
std::optional<v2::Reject> NextReject(Stream& stream) {
  v2::NodeMessage message;
  while (stream.Read(&message)) {
    if (message.has_reject()) return message.reject();
  }
  return std::nullopt;
}

TEST(HostileGatewayTest, RequestsBeyondTheCreditsAreRejected) {
  std::promise<v2::Reject> rejected;
  std::atomic<bool> done = false;
  ScriptedGateway gateway([&](Stream& stream) {
    if (done.exchange(true)) return;
    for (std::uint64_t i = 0; i <= gateway.first_credits; ++i) {
      stream.Write(RequestMessage("r" + std::to_string(i)));
    }
    if (auto reject = NextReject(stream)) rejected.set_value(*reject);
  });
  TestNode node(gateway.address(), 1, 1);
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  const v2::Reject reject = rejected.get_future().get();
  EXPECT_EQ(gateway.first_credits, 2U);
  EXPECT_EQ(reject.request_id(), "r2");
  EXPECT_EQ(reject.reason(), v2::REJECT_REASON_NO_CREDIT);
}

TEST(HostileGatewayTest, RequestsThatAreNoneAreRejectedWithTheReason) {
  std::promise<v2::Reject> rejected;
  std::atomic<bool> done = false;
  ScriptedGateway gateway([&](Stream& stream) {
    if (done.exchange(true)) return;
    v2::GatewayMessage message = RequestMessage("r1");
    message.mutable_request()->set_model("../../etc/passwd");
    stream.Write(message);
    if (auto reject = NextReject(stream)) rejected.set_value(*reject);
  });
  TestNode node(gateway.address());
  ASSERT_TRUE(node.Start().ok());
  const v2::Reject reject = rejected.get_future().get();
  EXPECT_EQ(reject.request_id(), "r1");
  EXPECT_EQ(reject.reason(), v2::REJECT_REASON_INVALID);
  EXPECT_NE(reject.message().find("model name"), std::string::npos);
  EXPECT_EQ(node.execution.started.count(), 0);
}

TEST(HostileGatewayTest, AnswersThatAreNotAcknowledgedComeAgain) {
  Signal answers;
  std::atomic<int> sessions = 0;
  ScriptedGateway gateway([&](Stream& stream) {
    if (sessions++ == 0) stream.Write(RequestMessage("r1"));
    v2::NodeMessage message;
    while (stream.Read(&message)) {
      if (!message.has_response()) continue;
      answers.Set();
      return;  // Loses the connection instead of acknowledging.
    }
  });
  TestNode node(gateway.address());
  ASSERT_TRUE(node.Start().ok());
  EXPECT_TRUE(answers.Wait(3));
  EXPECT_EQ(node.execution.executions("r1"), 1);
  EXPECT_EQ(node.outbox->usage().count, 1U);
}

TEST(HostileGatewayTest, ARequestThatHasBeenAnsweredIsNotExecutedAgain) {
  Signal answers;
  ScriptedGateway gateway([&](Stream& stream) {
    stream.Write(RequestMessage("r1"));
    v2::NodeMessage message;
    while (answers.count() < 2 && stream.Read(&message)) {
      if (!message.has_response()) continue;
      answers.Set();
      stream.Write(RequestMessage("r1"));
    }
    while (stream.Read(&message)) {
    }
  });
  TestNode node(gateway.address());
  ASSERT_TRUE(node.Start().ok());
  EXPECT_TRUE(answers.Wait(2));
  EXPECT_EQ(node.execution.executions("r1"), 1);
}

TEST(HostileGatewayTest, AFullOutboxStopsTheGrants) {
  Signal answered;
  std::atomic<std::uint64_t> last_credits = 0;
  ScriptedGateway gateway([&](Stream& stream) {
    stream.Write(RequestMessage("r1"));
    v2::NodeMessage message;
    while (stream.Read(&message)) {
      last_credits = message.credits();
      if (message.has_response()) answered.Set();
      if (answered.count() == 1 && message.has_heartbeat()) answered.Set();
    }
  });
  TestNode node(gateway.address(), 1, 0);
  node.options.heartbeat_interval = std::chrono::milliseconds(10);
  node.outbox = std::make_unique<node::MemoryOutbox>(
      node::MemoryOutbox::Limits{.count_max = 1, .bytes_max = 1 << 20});
  ASSERT_TRUE(node.Start().ok());
  ASSERT_TRUE(answered.Wait(2));
  EXPECT_EQ(last_credits, 1U);  // The one of Hello; its answer still takes the only place.
}

// A raw connection to a gateway.
class HostileNodeTest : public SessionTest {
 protected:
  void SetUp() override {
    reference::GatewayOptions options = DefaultGateway();
    options.handshake_timeout = std::chrono::milliseconds(200);
    StartGateway(options);
    auto channel = wire::MakeChannel(gateway->address(), {});
    NCN_CHECK(channel.ok());
    stub = v2::GatewayComputeService::NewStub(*channel);
  }

  grpc::ClientContext context;
  std::unique_ptr<v2::GatewayComputeService::Stub> stub;
};

TEST_F(HostileNodeTest, WhoDoesNotSayHelloFirstIsSentAway) {
  const auto stream = stub->Session(&context);
  v2::NodeMessage message;
  message.mutable_heartbeat()->mutable_info()->set_address("0x0");
  stream->Write(message);
  v2::GatewayMessage challenge;
  EXPECT_TRUE(stream->Read(&challenge));
  EXPECT_EQ(challenge.challenge().nonce().size(), 32U);
  EXPECT_FALSE(stream->Read(&challenge));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(HostileNodeTest, WhoSaysNothingIsSentAway) {
  const auto stream = stub->Session(&context);
  v2::GatewayMessage challenge;
  EXPECT_TRUE(stream->Read(&challenge));
  EXPECT_FALSE(stream->Read(&challenge));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(HostileNodeTest, AnotherVersionOfTheProtocolIsRefusedByName) {
  const auto stream = stub->Session(&context);
  v2::NodeMessage message;
  message.mutable_hello()->set_protocol_version(99);
  stream->Write(message);
  v2::GatewayMessage challenge;
  EXPECT_TRUE(stream->Read(&challenge));
  EXPECT_FALSE(stream->Read(&challenge));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(status.error_message().find("version 99"), std::string::npos);
}

TEST_F(HostileNodeTest, AListWithoutEndIsRefused) {
  const auto stream = stub->Session(&context);
  v2::NodeMessage message;
  for (int i = 0; i < 10001; ++i) message.mutable_hello()->add_running("r");
  stream->Write(message);
  v2::GatewayMessage challenge;
  EXPECT_TRUE(stream->Read(&challenge));
  EXPECT_FALSE(stream->Read(&challenge));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(HostileNodeTest, BytesThatAreNoMessageEndTheCallOnly) {
  TestNode node(gateway->address());
  ASSERT_TRUE(node.Start().ok());
  // A field of length 2^28 of which one byte comes: what protobuf cannot read.
  auto channel = wire::MakeChannel(gateway->address(), {});
  ASSERT_TRUE(channel.ok());
  v2::SubmitInferenceTaskRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(1, "\xff\xff\xff");
  v2::SubmitInferenceTaskResponse response;
  const auto client = v2::GatewayClientService::NewStub(*channel);
  EXPECT_FALSE(client->SubmitInferenceTask(&context, request, &response).ok());
  EXPECT_TRUE(Client()->Infer(MakeRequest("r1"))->response->ok());
}

}  // namespace
}  // namespace ncn
