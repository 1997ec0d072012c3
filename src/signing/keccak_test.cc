#include "signing/keccak.h"

#include "gtest/gtest.h"

namespace ncn::signing {
namespace {

// The hash of nothing and of "abc" are in the Ethereum yellow paper's and the Keccak team's known
// answers; "testing" is the one of the Go implementation; the last is the topic of ERC-20's event.
TEST(KeccakTest, AgreesWithPublishedVectors) {
  EXPECT_EQ(base::AsHex(Keccak256("")),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
  EXPECT_EQ(base::AsHex(Keccak256("abc")),
            "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
  EXPECT_EQ(base::AsHex(Keccak256("testing")),
            "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02");
  EXPECT_EQ(base::AsHex(Keccak256("Transfer(address,address,uint256)")),
            "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
}

TEST(KeccakTest, IsNotSha3) {
  EXPECT_NE(base::AsHex(Keccak256("")),
            "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
}

}  // namespace
}  // namespace ncn::signing
