#include "reference/validation.h"

#include "base/fake_clock.h"
#include "base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "signing/payment.h"
#include "signing/result_signer.h"
#include "signing/testing_wallet.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

using testing::HasSubstr;

std::string InputHash() { return std::string(base::AsBytes(base::Sha256("input"))); }

v2::RequestPreprocessingValidationRequest Request() {
  v2::RequestPreprocessingValidationRequest request;
  request.set_request_id("r1");
  request.set_model("digits");
  request.set_input_hash(InputHash());
  request.set_client_address(signing::kTestAddress);
  const auto payment =
      signing::SignPayment(signing::TestWallet(), *inference::RequestId::Parse("r1"),
                           *inference::ModelId::Parse("digits"), "5");
  wire::Encode(*payment, request.mutable_payment());
  return request;
}

TEST(ValidateRequestTest, LooksAtFormAndPayment) {
  EXPECT_TRUE(ValidateRequest(Request()).valid()) << ValidateRequest(Request()).message();
  v2::RequestPreprocessingValidationRequest request = Request();
  request.clear_payment();
  EXPECT_TRUE(ValidateRequest(request).valid());
  EXPECT_THAT(ValidateRequest(request).message(), HasSubstr("no payment"));
  request = Request();
  request.set_model("faces");
  EXPECT_FALSE(ValidateRequest(request).valid()) << "the payment was for another model";
  request = Request();
  request.set_input_hash("short");
  EXPECT_THAT(ValidateRequest(request).message(), HasSubstr("input_hash has 5 bytes"));
  request = Request();
  request.set_client_address("0x1");
  EXPECT_FALSE(ValidateRequest(request).valid());
}

v2::RequestCompletionValidationRequest Completion() {
  const inference::InferenceRequest request{.id = *inference::RequestId::Parse("r1"),
                                            .model = *inference::ModelId::Parse("digits"),
                                            .input = {"input", "text/plain"}};
  inference::InferenceResponse response{
      .request_id = request.id,
      .model = request.model,
      .outcome = inference::InferenceResult{.output = {"output", "text/plain"}}};
  const signing::Wallet wallet = signing::TestWallet();
  const base::FakeClock clock;
  EXPECT_TRUE(signing::ResultSigner(wallet, clock).Sign(request, response).ok());
  v2::RequestCompletionValidationRequest completion;
  wire::Encode(response, completion.mutable_response());
  completion.set_input_hash(InputHash());
  return completion;
}

TEST(ValidateCompletionTest, LooksAtTheAttestationWithAndWithoutTheOutput) {
  EXPECT_TRUE(ValidateCompletion(Completion()).valid())
      << ValidateCompletion(Completion()).message();
  v2::RequestCompletionValidationRequest completion = Completion();
  completion.mutable_response()->clear_output_data();
  const v2::ValidationVerdict verdict = ValidateCompletion(std::move(completion));
  EXPECT_TRUE(verdict.valid()) << verdict.message();
  EXPECT_THAT(verdict.message(), HasSubstr(signing::kTestAddress));
}

TEST(ValidateCompletionTest, RefusesWhatWasNotAttested) {
  v2::RequestCompletionValidationRequest completion = Completion();
  completion.set_input_hash(std::string(32, 'x'));
  EXPECT_THAT(ValidateCompletion(std::move(completion)).message(), HasSubstr("input hash"));
  completion = Completion();
  completion.mutable_response()->clear_output_data();
  completion.mutable_response()->set_response_hash(std::string(32, 'x'));
  EXPECT_FALSE(ValidateCompletion(std::move(completion)).valid());
  completion = Completion();
  completion.mutable_response()->set_output_data("other");
  EXPECT_FALSE(ValidateCompletion(std::move(completion)).valid());
  completion = Completion();
  completion.mutable_response()->set_model("faces");
  EXPECT_FALSE(ValidateCompletion(std::move(completion)).valid());
  EXPECT_FALSE(ValidateCompletion({}).valid());
}

}  // namespace
}  // namespace ncn::reference
