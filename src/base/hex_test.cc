#include "base/hex.h"

#include "gtest/gtest.h"

namespace ncn::base {
namespace {

TEST(HexTest, RoundTripsEveryByte) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  EXPECT_EQ(HexDecode(HexEncode(bytes)), bytes);
}

TEST(HexTest, AcceptsPrefixAndEitherCase) { EXPECT_EQ(HexDecode("0xAbcD"), "\xab\xcd"); }

TEST(HexTest, RefusesOddLengthAndOtherCharacters) {
  EXPECT_EQ(HexDecode("abc"), std::nullopt);
  EXPECT_EQ(HexDecode("zz"), std::nullopt);
}

}  // namespace
}  // namespace ncn::base
