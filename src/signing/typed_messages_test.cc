// Payment and session proof; golden signatures are those of ethers 6.17.0 with the test key.
#include "base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "signing/payment.h"
#include "signing/session_proof.h"
#include "signing/testing_wallet.h"

namespace ncn::signing {
namespace {

using testing::HasSubstr;

constexpr char kGateway[] = "http://127.0.0.1:50051";
const std::string kNonce(32, '\7');

inference::InferenceRequest PaidRequest(std::string_view amount_wei) {
  inference::InferenceRequest request = {.id = *inference::RequestId::Parse("req-1"),
                                         .model = *inference::ModelId::Parse("digits")};
  request.payment = *SignPayment(TestWallet(), request.id, request.model, amount_wei);
  return request;
}

TEST(PaymentTest, SignsLikeEthers) {
  EXPECT_EQ(base::HexEncode(PaidRequest("1000000000000000000").payment->signature),
            "63bbf58b15ee227fdb4ad1372c372173d3f9d21a96278fc2a3aa79196316c938"
            "47e6931427413b20fc346e17c04449bb902a9b721a2bba34c9ca14512fab33cf1c");
}

TEST(PaymentTest, AcceptsAtLeastTheMinimum) {
  EXPECT_EQ(VerifyPayment(PaidRequest("100"), "100")->ToString(), kTestAddress);
  EXPECT_TRUE(VerifyPayment(PaidRequest("1000"), "999").ok());
  const absl::Status status = VerifyPayment(PaidRequest("99"), "100").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at least 100"));
}

TEST(PaymentTest, AsksForAMissingPayment) {
  inference::InferenceRequest request = PaidRequest("1");
  request.payment.reset();
  EXPECT_THAT(std::string(VerifyPayment(request).status().message()),
              HasSubstr("PaymentAuthorization"));
}

TEST(PaymentTest, IsGoodForItsOwnRequestOnly) {
  inference::InferenceRequest other_id = PaidRequest("5");
  other_id.id = *inference::RequestId::Parse("req-2");
  inference::InferenceRequest other_model = PaidRequest("5");
  other_model.model = *inference::ModelId::Parse("bark");
  inference::InferenceRequest other_amount = PaidRequest("5");
  other_amount.payment->amount_wei = std::string("6");
  inference::InferenceRequest other_payer = PaidRequest("5");
  other_payer.payment->payer_address = Wallet::Generate()->address().ToString();
  for (const auto& request : {other_id, other_model, other_amount, other_payer}) {
    EXPECT_EQ(VerifyPayment(request).status().code(), absl::StatusCode::kPermissionDenied);
  }
}

TEST(PaymentTest, RefusesMalformedAmountsAndSignatures) {
  for (const char* amount : {"", "-1", "1.5", "01", "0x10", "1 ether"}) {
    EXPECT_EQ(SignPayment(TestWallet(), *inference::RequestId::Parse("r"),
                          *inference::ModelId::Parse("m"), amount)
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument)
        << amount;
  }
  EXPECT_FALSE(SignPayment(TestWallet(), *inference::RequestId::Parse("r"),
                           *inference::ModelId::Parse("m"), std::string(78, '9'))
                   .ok())
      << "2^256 is less";
  inference::InferenceRequest request = PaidRequest("5");
  request.payment->signature.clear();
  EXPECT_EQ(VerifyPayment(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SessionProofTest, SignsLikeEthers) {
  EXPECT_EQ(base::HexEncode(*SignChallenge(TestWallet(), kNonce, kGateway, 2)),
            "06f0634af9ac1184263880428e839209ebcfcd5337c4ea01360bf1015d7f79ff"
            "49bf9b17f6666dbc39cce3138f68f17e83c9bfa589c0386d353b773980ef77051b");
}

TEST(SessionProofTest, NamesTheSignerOfExactlyThisChallenge) {
  const std::string proof = *SignChallenge(TestWallet(), kNonce, kGateway, 2);
  const EthereumAddress address = TestWallet().address();
  EXPECT_EQ(*VerifyChallenge(kNonce, kGateway, 2, proof), address);
  EXPECT_NE(*VerifyChallenge(std::string(32, '\6'), kGateway, 2, proof), address);
  EXPECT_NE(*VerifyChallenge(kNonce, "http://127.0.0.1:50052", 2, proof), address);
  EXPECT_NE(*VerifyChallenge(kNonce, kGateway, 3, proof), address);
}

TEST(SessionProofTest, RefusesChallengesOutOfBounds) {
  const Wallet wallet = TestWallet();
  EXPECT_FALSE(SignChallenge(wallet, "", kGateway, 2).ok());
  EXPECT_FALSE(SignChallenge(wallet, std::string(65, 'x'), kGateway, 2).ok());
  EXPECT_FALSE(SignChallenge(wallet, kNonce, "", 2).ok());
  EXPECT_FALSE(SignChallenge(wallet, kNonce, std::string(1025, 'x'), 2).ok());
  EXPECT_FALSE(SignChallenge(wallet, kNonce, "\xff", 2).ok());
}

}  // namespace
}  // namespace ncn::signing
