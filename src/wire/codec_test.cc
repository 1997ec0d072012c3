#include "wire/codec.h"

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <variant>

#include "base/hex.h"
#include "gtest/gtest.h"
#include "ncn/v2/gateway_client.pb.h"
#include "ncn/v2/gateway_compute.pb.h"
#include "wire/text.h"

namespace ncn::wire {
namespace {

using std::chrono::microseconds;

inference::InferenceRequest SampleRequest() {
  return {.id = *inference::RequestId::Parse("request-1"),
          .model = *inference::ModelId::Parse("digits"),
          .input = {"input", inference::kOctetStream},
          .accept = inference::kOpenInferenceJson,
          .timeout = std::chrono::milliseconds(1500),
          .seed = 7,
          .client_address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
          .payment = inference::PaymentProof{"0x2c7536E3605D9C16a7a3D7b1898e529396a65c23", "1000",
                                             std::string(65, 's')}};
}

inference::InferenceResponse SampleResponse() {
  const std::chrono::system_clock::time_point start(microseconds(1767225600000000));
  return {.request_id = *inference::RequestId::Parse("request-1"),
          .model = *inference::ModelId::Parse("digits"),
          .outcome =
              inference::InferenceResult{
                  .output = {"output", inference::kOpenInferenceJson},
                  .record = {.model_hash = "aa",
                             .executor = "generic_model_executor.py",
                             .executor_hash = "bb",
                             .image_digest = "sha256:cc",
                             .sandbox_mode = "strict",
                             .isolation = "cold",
                             .policy_hash = "dd",
                             .layers = {"seccomp", "landlock"},
                             .usage = {.wall = microseconds(2000),
                                       .cpu = microseconds(1000),
                                       .peak_memory_bytes = 4096},
                             .started_at = start,
                             .finished_at = start + microseconds(2000),
                             .steps = {{"load", microseconds(10)}, {"run", microseconds(20)}},
                             .notes = {"note"}}},
          .signature = {.response_hash = std::string(32, 'h'),
                        .response_signature = std::string(65, 's'),
                        .timestamp_seconds = 1767225600,
                        .signer_address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
                        .completion_validation = "{}"}};
}

NodeInfo SampleInfo() {
  return {.address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
          .version = "0.1.0",
          .supported_models = {"bark_coarse", "digits"},
          .sandbox_mode = "strict",
          .enforced_layers = {"seccomp"},
          .slots_total = 4,
          .slots_in_use = 1,
          .slots_free = 3,
          .queued = 2,
          .queue_capacity = 16,
          .statistics = {10, 9, 1, 1234},
          .state = NodeState::kReady,
          .input_bytes_max = 1024,
          .subnet_id = 1};
}

struct Sample {
  std::string name;
  std::variant<NodeMessage, GatewayMessage> message;
};

std::vector<Sample> Samples() {
  const auto response = std::make_shared<const inference::InferenceResponse>(SampleResponse());
  const auto failed =
      std::make_shared<const inference::InferenceResponse>(inference::InferenceResponse{
          .request_id = response->request_id,
          .model = response->model,
          .outcome = inference::Failure{inference::FailureKind::kTimeout, "too slow", "wait"}});
  const Hello hello{
      .info = SampleInfo(), .wallet_proof = "proof", .running = {"a"}, .unacknowledged = {"b"}};
  return {
      {"hello", NodeMessage{5, hello}},
      {"heartbeat", NodeMessage{6, Heartbeat{SampleInfo(), 250}}},
      {"progress", NodeMessage{7, Progress{"request-1", TaskState::kRunning, 500, "half"}}},
      {"partial_progress",
       NodeMessage{
           7, Progress{"request-1", TaskState::kRunning, 500, "half", {"so far", "text/plain"}}}},
      {"response", NodeMessage{8, response}},
      {"failed_response", NodeMessage{8, failed}},
      {"reject", NodeMessage{9, Reject{"request-1", RejectReason::kDraining, "leaving"}}},
      {"goodbye", NodeMessage{9, Goodbye{"drained", {"request-2"}}}},
      {"challenge", GatewayMessage(Challenge{"nonce", "gateway"})},
      {"welcome",
       GatewayMessage(Welcome{"session", std::chrono::milliseconds(5000), 1 << 20, "1"})},
      {"request",
       GatewayMessage(std::make_shared<const inference::InferenceRequest>(SampleRequest()))},
      {"cancel", GatewayMessage(Cancel{"request-1", "no longer wanted"})},
      {"ack", GatewayMessage(ResultAck{"request-1", AckVerdict::kRefused, "does not verify"})},
      {"drain", GatewayMessage(Drain{"restart", std::chrono::milliseconds(100)})},
  };
}

std::string BytesOf(const NodeMessage& message) {
  v2::NodeMessage proto;
  Encode(message, &proto);
  return proto.SerializeAsString();
}

std::string BytesOf(const GatewayMessage& message) {
  v2::GatewayMessage proto;
  Encode(message, &proto);
  return proto.SerializeAsString();
}

// The bytes after decoding and encoding again.
std::string ThereAndBack(const NodeMessage& message) {
  v2::NodeMessage proto;
  if (!proto.ParseFromString(BytesOf(message))) return "unreadable";
  const auto decoded = Decode(std::move(proto));
  return decoded.ok() ? BytesOf(*decoded) : decoded.status().ToString();
}

std::string ThereAndBack(const GatewayMessage& message) {
  v2::GatewayMessage proto;
  if (!proto.ParseFromString(BytesOf(message))) return "unreadable";
  const auto decoded = Decode(std::move(proto), inference::RequestLimits{});
  return decoded.ok() ? BytesOf(*decoded) : decoded.status().ToString();
}

TEST(CodecTest, BytesOnTheWireStayAsTheyAre) {
  std::string actual;
  for (const Sample& sample : Samples()) {
    const std::string bytes =
        std::visit([](const auto& message) { return BytesOf(message); }, sample.message);
    actual += sample.name + " " + base::HexEncode(bytes) + "\n";
  }
  const std::string path = NCN_SOURCE_DIR "/tests/golden/wire_messages.txt";
  if (std::getenv("NCN_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << actual;
  std::ifstream file(path);
  const std::string golden{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(actual, golden) << "peers of other versions could not read this; if the change is "
                               "meant, run the test with NCN_UPDATE_GOLDEN=1";
}

TEST(CodecTest, EveryMessageSurvivesTheWayThereAndBack) {
  for (const Sample& sample : Samples()) {
    std::visit(
        [&](const auto& message) {
          EXPECT_EQ(base::HexEncode(ThereAndBack(message)), base::HexEncode(BytesOf(message)))
              << sample.name;
        },
        sample.message);
  }
}

v2::InferenceRequest RequestProto() {
  v2::InferenceRequest message;
  Encode(SampleRequest(), &message);
  return message;
}

TEST(CodecTest, RefusesRequestsThatBreakARuleAndNamesIt) {
  const std::vector<std::pair<std::string, std::function<void(v2::InferenceRequest&)>>> cases = {
      {"request id", [](auto& m) { m.set_request_id("a b"); }},
      {"request id", [](auto& m) { m.set_request_id(std::string(129, 'x')); }},
      {"model name", [](auto& m) { m.set_model("../x"); }},
      {"input is empty", [](auto& m) { m.clear_input_data(); }},
      {"media type", [](auto& m) { m.set_content_type("a\nb/c"); }},
      {"media type", [](auto& m) { m.set_accept("x"); }},
      {"timeout_ms", [](auto& m) { m.set_timeout_ms(1ULL << 63); }},
      {"client_address", [](auto& m) { m.set_client_address(std::string(43, '0')); }},
      {"payment.signature", [](auto& m) { m.mutable_payment()->set_signature("short"); }},
      {"payment.amount_wei",
       [](auto& m) { m.mutable_payment()->set_amount_wei(std::string(99, '9')); }},
  };
  for (const auto& [word, spoil] : cases) {
    v2::InferenceRequest message = RequestProto();
    spoil(message);
    const auto decoded = Decode(std::move(message), inference::RequestLimits{});
    ASSERT_FALSE(decoded.ok()) << word;
    EXPECT_NE(decoded.status().message().find(word), absl::string_view::npos) << decoded.status();
  }
}

TEST(CodecTest, RefusesResponsesThatBreakARuleAndKeepsTheirId) {
  const std::vector<std::function<void(v2::InferenceResponse&)>> cases = {
      [](auto& m) { m.set_response_hash("short"); },
      [](auto& m) { m.set_response_signature(std::string(64, 's')); },
      [](auto& m) { m.set_signer_address("0x"); },
      [](auto& m) { m.set_timestamp(-1); },
      [](auto& m) { m.set_content_type(""); },
      [](auto& m) { m.set_status(v2::RESPONSE_STATUS_UNSPECIFIED); },
      [](auto& m) { m.set_status(v2::RESPONSE_STATUS_FAILED); },
      [](auto& m) { m.mutable_record()->set_executor(std::string(129, 'x')); },
      [](auto& m) { m.set_completion_validation(std::string(65 * 1024, ' ')); },
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    v2::NodeMessage message;
    Encode(SampleResponse(), message.mutable_response());
    cases[i](*message.mutable_response());
    const auto decoded = Decode(std::move(message));
    ASSERT_TRUE(decoded.ok()) << i;
    const auto* malformed = std::get_if<Malformed>(&decoded->body);
    ASSERT_NE(malformed, nullptr) << i;
    EXPECT_EQ(malformed->request_id, "request-1");
    EXPECT_FALSE(malformed->why.ok());
  }
}

TEST(CodecTest, TimesBeyondTheClockAreCutToWhatItCanSay) {
  v2::InferenceResponse message;
  Encode(SampleResponse(), &message);
  message.mutable_record()->set_started_at_us(50743871547656144);
  message.mutable_record()->set_finished_at_us(-1);
  const auto decoded = Decode(std::move(message));
  ASSERT_TRUE(decoded.ok());
  EXPECT_LT(decoded->result().record.started_at, std::chrono::system_clock::time_point::max());
  EXPECT_EQ(decoded->result().record.finished_at, std::chrono::system_clock::time_point());
}

TEST(CodecTest, AFailureOfAKindThatIsNotKnownCountsAsInternal) {
  v2::InferenceResponse message;
  message.set_request_id("r");
  message.set_model("m");
  message.set_status(v2::RESPONSE_STATUS_FAILED);
  message.mutable_failure()->set_kind("FROM_THE_FUTURE");
  const auto decoded = Decode(std::move(message));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->failure().kind, inference::FailureKind::kInternal);
}

TEST(CodecTest, MessagesOfLaterVersionsAreUnknownNotErrors) {
  const auto node = Decode(v2::NodeMessage());
  ASSERT_TRUE(node.ok());
  EXPECT_TRUE(std::holds_alternative<Unknown>(node->body));
  const auto gateway = Decode(v2::GatewayMessage(), inference::RequestLimits{});
  ASSERT_TRUE(gateway.ok());
  EXPECT_TRUE(std::holds_alternative<Unknown>(*gateway));
}

TEST(CleanTextTest, KeepsWhatCanBeShownAndReplacesTheRest) {
  EXPECT_EQ(CleanText("naïve — ok\n", 100), "naïve — ok\n");
  EXPECT_EQ(CleanText(std::string("a\0b\x1b[31m", 8), 100), "a?b?[31m");
  EXPECT_EQ(CleanText("\xff\xc0\x80\xed\xa0\x80", 100), "??????");
  EXPECT_EQ(CleanText("abc", 2), "ab");
  EXPECT_EQ(CleanText("aé", 2), "a");
  EXPECT_EQ(CleanText("\xe2\x82", 100), "??");
}

}  // namespace
}  // namespace ncn::wire
