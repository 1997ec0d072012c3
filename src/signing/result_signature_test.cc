#include "signing/result_signature.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/fake_clock.h"
#include "base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "signing/attestation.h"
#include "signing/recovery.h"
#include "signing/result_signer.h"
#include "signing/testing_wallet.h"

namespace ncn::signing {
namespace {

using testing::HasSubstr;

std::string Times(std::string_view text, int count) {
  std::string repeated;
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

inference::InferenceRequest Request() {
  return {.id = *inference::RequestId::Parse("req-1"),
          .model = *inference::ModelId::Parse("digits"),
          .input = {"input", "application/json"}};
}

inference::InferenceResponse Unsigned() {
  using std::chrono::microseconds;
  using std::chrono::milliseconds;
  const base::FakeClock clock;
  inference::ExecutionRecord record = {.model_hash = Times("11", 32),
                                       .executor = "generic_model_executor.py",
                                       .executor_hash = Times("22", 32),
                                       .image_digest = "sha256:" + Times("33", 32),
                                       .sandbox_mode = "strict",
                                       .isolation = "cold",
                                       .policy_hash = Times("66", 32),
                                       .layers = {"seccomp", "landlock"},
                                       .usage = {.wall = microseconds(3400),
                                                 .cpu = microseconds(1200),
                                                 .peak_memory_bytes = 1 << 20},
                                       .started_at = clock.WallNow(),
                                       .finished_at = clock.WallNow() + milliseconds(123)};
  return {.request_id = Request().id,
          .model = Request().model,
          .outcome = inference::InferenceResult{{"output", "application/json"}, record}};
}

inference::InferenceResponse Signed() {
  static const Wallet wallet = TestWallet();
  static const base::FakeClock clock;
  inference::InferenceResponse response = Unsigned();
  EXPECT_TRUE(ResultSigner(wallet, clock).Sign(Request(), response).ok());
  return response;
}

inference::InferenceResult& Result(inference::InferenceResponse& response) {
  return std::get<inference::InferenceResult>(response.outcome);
}

TEST(ResultSignatureTest, SignsHashAndDigestOfTheSpecification) {
  const inference::ResultSignature signature = Signed().signature;
  EXPECT_EQ(signature.response_hash, base::AsBytes(base::Sha256("output")));
  EXPECT_EQ(signature.timestamp_seconds, 1767225600);
  EXPECT_EQ(signature.signer_address, kTestAddress);
  EXPECT_EQ(RecoverSigner(base::Sha256("req-1output1767225600"), signature.response_signature)
                ->ToString(),
            kTestAddress);
}

TEST(ResultSignatureTest, VerifiesWhatItSigned) {
  EXPECT_EQ(VerifyResponse(Signed())->ToString(), kTestAddress);
  EXPECT_EQ(VerifyResponseTo(Request(), Signed())->ToString(), kTestAddress);
}

TEST(ResultSignatureTest, VerifiesWhatTravelsWithoutItsRecord) {
  inference::InferenceResponse response = Signed();
  Result(response).record = {};
  EXPECT_TRUE(VerifyResponse(response).ok());
}

TEST(ResultSignatureTest, LeavesAFailureUnsigned) {
  inference::InferenceResponse response = Unsigned();
  response.outcome = inference::Failure{inference::FailureKind::kTimeout, "late", ""};
  EXPECT_TRUE(ResultSigner(TestWallet(), base::Clock::System()).Sign(Request(), response).ok());
  EXPECT_TRUE(response.signature.response_signature.empty());
  EXPECT_THAT(std::string(VerifyResponse(response).status().message()), HasSubstr("TIMEOUT"));
}

TEST(ResultSignatureTest, RefusesToSignWhatCannotBeAttested) {
  const Wallet wallet = TestWallet();
  const ResultSigner signer(wallet, base::Clock::System());
  inference::InferenceResponse response = Unsigned();
  Result(response).record.model_hash = "unknown";
  EXPECT_THAT(std::string(signer.Sign(Request(), response).message()), HasSubstr("modelHash"));
  EXPECT_TRUE(response.signature.response_signature.empty());
  response = Unsigned();
  Result(response).record.executor = "\xff";
  EXPECT_THAT(std::string(signer.Sign(Request(), response).message()), HasSubstr("UTF-8"));
  response = Unsigned();
  Result(response).record.layers.assign(10000, "layer of some length");
  EXPECT_THAT(std::string(signer.Sign(Request(), response).message()), HasSubstr("at most"));
  response = Unsigned();
  response.request_id = *inference::RequestId::Parse("other");
  EXPECT_FALSE(signer.Sign(Request(), response).ok());
}

TEST(ResultSignatureTest, AttestsUnknownHashesAsZero) {
  const Wallet wallet = TestWallet();
  inference::InferenceResponse response = Unsigned();
  Result(response).record = {};
  ASSERT_TRUE(ResultSigner(wallet, base::Clock::System()).Sign(Request(), response).ok());
  EXPECT_EQ(VerifyAttestation(response.signature.completion_validation)->model_hash,
            std::string(64, '0'));
  EXPECT_TRUE(VerifyResponse(response).ok());
}

// Changes the JSON of the attestation.
void EditAttestation(inference::InferenceResponse& response,
                     const std::function<void(nlohmann::json&)>& edit) {
  nlohmann::json json = nlohmann::json::parse(response.signature.completion_validation);
  edit(json);
  response.signature.completion_validation = json.dump();
}

// Signs the attestation of `response` anew after a change.
void Reattest(inference::InferenceResponse& response,
              const std::function<void(Attestation&)>& edit) {
  Attestation attestation = *VerifyAttestation(response.signature.completion_validation);
  edit(attestation);
  response.signature.completion_validation = *SignAttestation(TestWallet(), attestation);
}

TEST(ResultSignatureTest, EveryTamperingHasAnErrorOfItsOwn) {
  using Response = inference::InferenceResponse;
  const std::vector<std::function<void(Response&)>> tamperings = {
      [](Response& r) { Result(r).output.bytes += "x"; },
      [](Response& r) { Result(r).output.content_type = "text/html"; },
      [](Response& r) { r.request_id = *inference::RequestId::Parse("req-2"); },
      [](Response& r) { r.model = *inference::ModelId::Parse("bark"); },
      [](Response& r) { r.signature.response_hash.back() ^= 1; },
      [](Response& r) { r.signature.response_hash.clear(); },
      [](Response& r) { r.signature.response_signature.clear(); },
      [](Response& r) { r.signature.response_signature[40] ^= 1; },
      [](Response& r) { r.signature.response_signature[64] = 1; },
      [](Response& r) { r.signature.timestamp_seconds += 1; },
      [](Response& r) { r.signature.signer_address = Wallet::Generate()->address().ToString(); },
      [](Response& r) { r.signature.signer_address.clear(); },
      [](Response& r) { r.signature.completion_validation.clear(); },
      [](Response& r) { r.signature.completion_validation.pop_back(); },
      [](Response& r) { r.signature.completion_validation.resize(100000, ' '); },
      [](Response& r) { Result(r).record.model_hash = Times("77", 32); },
      [](Response& r) { Result(r).record.executor = "other.py"; },
      [](Response& r) { Result(r).record.executor_hash = Times("77", 32); },
      [](Response& r) { Result(r).record.image_digest = "sha256:0"; },
      [](Response& r) { Result(r).record.sandbox_mode = "disabled"; },
      [](Response& r) { Result(r).record.isolation = "rewind"; },
      [](Response& r) { Result(r).record.policy_hash = Times("77", 32); },
      [](Response& r) { Result(r).record.layers.pop_back(); },
      [](Response& r) { Result(r).record.usage.cpu *= 2; },
      [](Response& r) { Result(r).record.usage.wall *= 2; },
      [](Response& r) { Result(r).record.usage.peak_memory_bytes = ~0ull; },
      [](Response& r) { Result(r).record.started_at += std::chrono::seconds(1); },
      [](Response& r) { Result(r).record.finished_at += std::chrono::seconds(1); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["message"]["layers"][0] = "x"; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["domain"]["version"] = "1"; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["types"]["Attestation"].erase(0); }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["message"]["note"] = "x"; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["note"] = "x"; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["signature"] = 1; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["signature"] = "0x12"; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["signature"] = "nothing"; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j["message"]["node"] = "0x1"; }); },
      [](Response& r) { EditAttestation(r, [](auto& j) { j = 1; }); },
      [](Response& r) { Reattest(r, [](auto& a) { a.request_id = "req-3"; }); },
      [](Response& r) { Reattest(r, [](auto& a) { a.model = "other"; }); },
      [](Response& r) { Reattest(r, [](auto& a) { a.output_hash = Times("77", 32); }); },
      [](Response& r) { Reattest(r, [](auto& a) { a.timestamp_seconds = 1; }); },
  };
  std::set<std::string> messages;
  for (std::size_t i = 0; i < tamperings.size(); ++i) {
    Response response = Signed();
    tamperings[i](response);
    const absl::Status status = VerifyResponse(response).status();
    ASSERT_FALSE(status.ok()) << "tampering " << i;
    EXPECT_TRUE(messages.insert(std::string(status.message())).second)
        << "tampering " << i << ": " << status;
  }
}

TEST(ResultSignatureTest, AnotherSplitOfTheSameBytesIsNotTheSameResult) {
  // The plain digest of id "req-1" with output "output" is also that of id "req-1o" with "utput".
  inference::InferenceResponse response = Signed();
  response.request_id = *inference::RequestId::Parse("req-1o");
  Result(response).output.bytes = "utput";
  response.signature.response_hash = base::AsBytes(base::Sha256("utput"));
  EXPECT_THAT(std::string(VerifyResponse(response).status().message()), HasSubstr("request id"));
}

TEST(ResultSignatureTest, AnswersToOtherQuestionsAreRefused) {
  inference::InferenceRequest request = Request();
  request.input.bytes = "other";
  EXPECT_THAT(std::string(VerifyResponseTo(request, Signed()).status().message()),
              HasSubstr("another input"));
  request = Request();
  request.id = *inference::RequestId::Parse("other");
  EXPECT_THAT(std::string(VerifyResponseTo(request, Signed()).status().message()),
              HasSubstr("not other"));
  request = Request();
  request.model = *inference::ModelId::Parse("other");
  EXPECT_THAT(std::string(VerifyResponseTo(request, Signed()).status().message()),
              HasSubstr("not of other"));
}

// The signature is the one of ethers' signTypedData over the same message.
TEST(AttestationTest, SignsLikeEthers) {
  const Attestation attestation = {.request_id = "req-1",
                                   .model = "digits",
                                   .model_hash = Times("11", 32),
                                   .executor = "generic_model_executor.py",
                                   .executor_hash = Times("22", 32),
                                   .image_digest = "sha256:" + Times("33", 32),
                                   .input_hash = Times("44", 32),
                                   .output_hash = Times("55", 32),
                                   .output_content_type = "application/json",
                                   .sandbox_mode = "strict",
                                   .isolation = "cold",
                                   .policy_hash = Times("66", 32),
                                   .layers = {"seccomp", "landlock"},
                                   .cpu_micros = 1200,
                                   .wall_micros = 3400,
                                   .peak_memory_bytes = 104857600,
                                   .started_at_millis = 1767225600000,
                                   .finished_at_millis = 1767225600123,
                                   .timestamp_seconds = 1767225601};
  const nlohmann::json json =
      nlohmann::json::parse(*SignAttestation(TestWallet(), attestation), nullptr, false);
  EXPECT_EQ(json["signature"],
            "0x2551b3a002513e5d2c9a008dd463adf823dc5e37f019a580fb439a0820fce503"
            "6e5fd7bdc0ea8902de9274d60a55a8774cc5c8f14b45d5513e04e5aa7e46ac7c1b");
  EXPECT_EQ(json["message"]["node"], kTestAddress);
}

}  // namespace
}  // namespace ncn::signing
