#include "signing/address.h"

#include "absl/strings/ascii.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::signing {
namespace {

using testing::HasSubstr;

// The test cases of EIP-55.
constexpr const char* kChecksummed[] = {
    "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
};

std::string Error(std::string_view text) {
  return std::string(EthereumAddress::Parse(text).status().message());
}

TEST(AddressTest, WritesTheChecksumOfEip55) {
  for (const std::string text : kChecksummed) {
    EXPECT_EQ(EthereumAddress::Parse(text)->ToString(), text);
    EXPECT_EQ(EthereumAddress::Parse(absl::AsciiStrToLower(text))->ToString(), text);
    EXPECT_EQ(EthereumAddress::Parse("0x" + absl::AsciiStrToUpper(text.substr(2)))->ToString(),
              text);
  }
}

TEST(AddressTest, RefusesAMistypedLetter) {
  EXPECT_THAT(Error("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed"), HasSubstr("checksum"));
}

TEST(AddressTest, SaysWhatIsWrong) {
  EXPECT_THAT(Error(""), HasSubstr("begin with 0x"));
  EXPECT_THAT(Error("0x12"), HasSubstr("40 digits"));
  EXPECT_THAT(Error("0xg2908400098527886E0F7030069857D2E4169EE7"), HasSubstr("hexadecimal"));
  EXPECT_THAT(Error("0x0x08400098527886E0F7030069857D2E4169EE7\n"), HasSubstr("hexadecimal"));
}

}  // namespace
}  // namespace ncn::signing
