#include "signing/eip712.h"

#include <string>

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::signing {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json Parse(std::string_view text) { return json::parse(text, nullptr, false); }

std::string Hex(const json& typed_data) {
  const absl::StatusOr<base::Digest> digest = TypedDataDigest(typed_data);
  return digest.ok() ? base::AsHex(*digest) : std::string(digest.status().message());
}

// The example of the standard.
constexpr char kMail[] = R"({
  "domain": {"name": "Ether Mail", "version": "1", "chainId": 1,
             "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"},
  "types": {"Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
            "Mail": [{"name": "from", "type": "Person"}, {"name": "to", "type": "Person"},
                     {"name": "contents", "type": "string"}]},
  "primaryType": "Mail",
  "message": {"from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
              "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
              "contents": "Hello, Bob!"}})";

// Every type there is; the digest is of ethers 6.17.0.
constexpr char kAll[] = R"({
  "domain": {"name": "n",
             "salt": "0x1111111111111111111111111111111111111111111111111111111111111111"},
  "types": {
    "All": [{"name": "s", "type": "string"}, {"name": "b", "type": "bytes"},
            {"name": "b4", "type": "bytes4"}, {"name": "yes", "type": "bool"},
            {"name": "no", "type": "bool"}, {"name": "u8", "type": "uint8"},
            {"name": "u256", "type": "uint256"}, {"name": "i8", "type": "int8"},
            {"name": "i256", "type": "int256"}, {"name": "a", "type": "address"},
            {"name": "texts", "type": "string[]"}, {"name": "grid", "type": "int16[2][]"},
            {"name": "inner", "type": "Inner[]"}],
    "Inner": [{"name": "x", "type": "uint64"}, {"name": "leaf", "type": "Leaf"}],
    "Leaf": [{"name": "y", "type": "bytes32"}]},
  "primaryType": "All",
  "message": {
    "s": "gr\u00fc\u00dfe \u0000 \ud83d\ude42", "b": "0x0102ff", "b4": "0xdeadbeef", "yes": true,
    "no": false, "u8": 255,
    "u256": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
    "i8": -128,
    "i256": "-57896044618658097711785492504343953926634992332820282019728792003956564819968",
    "a": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "texts": ["a", "", "b"],
    "grid": [[1, -1], ["0x7f", "32767"]],
    "inner": [
      {"x": "18446744073709551615",
       "leaf": {"y": "0xabababababababababababababababababababababababababababababababab"}},
      {"x": 0,
       "leaf": {"y": "0x0000000000000000000000000000000000000000000000000000000000000000"}}]}})";

TEST(Eip712Test, AgreesWithTheExampleOfTheStandard) {
  EXPECT_EQ(Hex(Parse(kMail)), "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
}

TEST(Eip712Test, AgreesWithEthersOnEveryType) {
  EXPECT_EQ(Hex(Parse(kAll)), "d141b1af2ba44f463ff2efd0ab0166b0bb5e7ad45d49ebfc5abeed0fc2b6bbf7");
}

TEST(Eip712Test, AcceptsTheDomainTypeThatWalletsAdd) {
  json mail = Parse(kMail);
  mail["types"]["EIP712Domain"] =
      Parse(R"([{"name": "name", "type": "string"}, {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"}])");
  EXPECT_EQ(Hex(mail), Hex(Parse(kMail)));
  mail["types"]["EIP712Domain"].erase(0);
  EXPECT_THAT(Hex(mail), HasSubstr("types.EIP712Domain"));
}

// What the encoder says to one value of one type.
std::string Encode(const std::string& type, const json& value) {
  json data = Parse(R"({"domain": {}, "primaryType": "T", "types": {"T": [{"name": "v"}]}})");
  data["types"]["T"][0]["type"] = type;
  data["message"]["v"] = value;
  return Hex(data);
}

TEST(Eip712Test, RefusesNumbersOutOfRange) {
  for (const auto& [type, value] : std::initializer_list<std::pair<const char*, json>>{
           {"uint8", 256},
           {"uint8", -1},
           {"int8", 128},
           {"int8", -129},
           {"uint64", "18446744073709551616"},
           {"uint256",
            "115792089237316195423570985008687907853269984665640564039457584007913129639936"}}) {
    EXPECT_THAT(Encode(type, value), HasSubstr("message.v is out of the range of ")) << value;
  }
  EXPECT_THAT(Encode("uint8", 1.0), HasSubstr("whole number"));
  EXPECT_THAT(Encode("uint8", ""), HasSubstr("whole number"));
  EXPECT_THAT(Encode("uint8", "0x"), HasSubstr("whole number"));
  EXPECT_THAT(Encode("uint8", "12a"), HasSubstr("whole number"));
  EXPECT_THAT(Encode("uint8", std::string(10000, '0')), HasSubstr("whole number"));
}

TEST(Eip712Test, RefusesUnknownAndMalformedTypes) {
  for (const char* type :
       {"", "str", "uint", "uint7", "uint08", "uint264", "bytes0", "bytes33", "bytes-1", "string[",
        "string]", "string[0]", "string[-1]", "[]", "string[][", "Nothing", "9lives"}) {
    EXPECT_THAT(Encode(type, ""), HasSubstr("typed data: ")) << type;
    EXPECT_THAT(Encode(type, json::array()), HasSubstr("typed data: ")) << type;
  }
}

TEST(Eip712Test, RefusesValuesOfAnotherType) {
  EXPECT_THAT(Encode("string", 1), HasSubstr("not a text"));
  EXPECT_THAT(Encode("bool", 1), HasSubstr("true or false"));
  EXPECT_THAT(Encode("bytes", "00"), HasSubstr("0x and pairs"));
  EXPECT_THAT(Encode("bytes4", "0x00"), HasSubstr("1 bytes instead of 4"));
  EXPECT_THAT(Encode("address", "0x00"), HasSubstr("not an Ethereum address"));
  EXPECT_THAT(Encode("string[]", "x"), HasSubstr("not a list"));
  EXPECT_THAT(Encode("string[2]", json::array({"x"})), HasSubstr("1 elements instead of 2"));
  EXPECT_THAT(Encode("T", 1), HasSubstr("not an object"));
}

TEST(Eip712Test, RefusesWhatWouldNotBeSigned) {
  json mail = Parse(kMail);
  mail["message"]["from"]["note"] = "x";
  EXPECT_THAT(Hex(mail), HasSubstr("message.from has keys"));
  mail = Parse(kMail);
  mail["message"].erase("contents");
  EXPECT_THAT(Hex(mail), HasSubstr("message.contents is missing"));
  mail = Parse(kMail);
  mail["domain"]["extra"] = 1;
  EXPECT_THAT(Hex(mail), HasSubstr("domain has keys"));
  for (const char* key : {"domain", "types", "primaryType", "message"}) {
    mail = Parse(kMail);
    mail.erase(key);
    EXPECT_THAT(Hex(mail), HasSubstr(key));
    mail[key] = 7;
    EXPECT_THAT(Hex(mail), HasSubstr("typed data: "));
  }
  EXPECT_THAT(Hex(json(7)), HasSubstr("typed data: "));
}

TEST(Eip712Test, BoundsDepthAndNumberOfTypes) {
  json deep = Parse(R"({"domain": {}, "primaryType": "T",
                        "types": {"T": [{"name": "t", "type": "T[]"}]}})");
  json value = json::object({{"t", json::array()}});
  for (int i = 0; i < 100; ++i) value = json::object({{"t", json::array({value})}});
  deep["message"] = value;
  EXPECT_THAT(Hex(deep), HasSubstr("nested"));
  json wide = Parse(kMail);
  for (int i = 0; i < 40; ++i) wide["types"][base::StrCat("X", i)] = json::array();
  EXPECT_THAT(Hex(wide), HasSubstr("at most 32 types"));
}

TEST(Eip712Test, ReadsNumbersInEveryForm) {
  EXPECT_EQ(*ReadUint64(7), 7u);
  EXPECT_EQ(*ReadUint64("18446744073709551615"), ~0ull);
  EXPECT_EQ(*ReadUint64("0xff"), 255u);
  EXPECT_FALSE(ReadUint64(-1).ok());
  EXPECT_FALSE(ReadUint64(nullptr).ok());
}

}  // namespace
}  // namespace ncn::signing
