#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "native/json_value.h"
#include "native/json_writer.h"
#include "native/utf8.h"

namespace ncn::native {
namespace {

using Kind = JsonValue::Kind;

template <typename T>
std::string Written(T value) {
  std::string json;
  AppendJson(value, json);
  return json;
}

TEST(JsonTest, ReadsEveryKindOfValue) {
  const auto value = ParseJson(
      R"( {"n": null, "b": true, "i": -3, "u": 18446744073709551615, "h": 99999999999999999999,
          "f": 1.5e3, "t": "a\n\u00e9\ud83d\ude00", "l": [1, [2]], "o": {}} )");
  ASSERT_TRUE(value.ok()) << value.status().Describe();
  EXPECT_TRUE(value->Find("n")->is(Kind::kNull));
  EXPECT_TRUE(value->Find("b")->boolean());
  EXPECT_EQ(value->Find("i")->integer(), -3);
  EXPECT_EQ(value->Find("u")->unsigned_integer(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_TRUE(value->Find("h")->is(Kind::kHugeInteger));
  EXPECT_EQ(value->Find("f")->number(), 1500);
  EXPECT_EQ(value->Find("t")->text(), "a\n\xC3\xA9\xF0\x9F\x98\x80");
  EXPECT_EQ(value->Find("l")->list()[1].list()[0].integer(), 2);
  EXPECT_EQ(value->Find("missing"), nullptr);
}

TEST(JsonTest, ReadsNumbersThatAreNotFiniteAndNumbersBeyondADouble) {
  const auto value = ParseJson("[NaN, Infinity, -Infinity, 1e999, -1e999, 1e-999]");
  ASSERT_TRUE(value.ok());
  const auto& list = value->list();
  EXPECT_TRUE(std::isnan(list[0].number()));
  EXPECT_EQ(list[1].number(), HUGE_VAL);
  EXPECT_EQ(list[2].number(), -HUGE_VAL);
  EXPECT_EQ(list[3].number(), HUGE_VAL);
  EXPECT_EQ(list[4].number(), -HUGE_VAL);
  EXPECT_EQ(list[5].number(), 0);
}

TEST(JsonTest, ReadsTheNearestDouble) {
  std::mt19937_64 random(1);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  const auto check = [](const std::string& number) {
    const auto value = ParseJson(number);
    ASSERT_TRUE(value.ok()) << number;
    ASSERT_TRUE(value->is(Kind::kFloat)) << number;
    const double wanted = std::strtod(number.c_str(), nullptr);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(value->number()), std::bit_cast<std::uint64_t>(wanted))
        << number;
  };
  // Mantissas about 2^53, and the longest that count as one number of 64 bits.
  for (const std::string number :
       {"-0.0", "0.1", "900719925474099.2", "900719925474099.3", "9007199254740993.0",
        "0.9007199254740993", "0.000000000000000001", "9.999999999999999999",
        "99.999999999999999999", "18446744073709551615.0", "1.0e1", "0.3e-7", "4.35e+2"}) {
    check(number);
  }
  for (int i = 0; i < 100000; ++i) {
    std::string number = std::to_string(below(2) == 0 ? below(10) : random() >> below(64)) + ".";
    for (std::uint64_t digits = 1 + below(20); digits > 0; --digits) {
      number.push_back(static_cast<char>('0' + below(10)));
    }
    check(below(2) == 0 ? number : "-" + number);
  }
}

TEST(JsonTest, TheLastOfTwoMembersOfANameCounts) {
  EXPECT_EQ(ParseJson(R"({"a": 1, "a": 2})")->Find("a")->integer(), 2);
}

TEST(JsonTest, NamesThePlaceOfAMistakeInPythonsWords) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"", "line 1, column 1: Expecting value"},
      {"{\n \"a\": \n}", "line 3, column 1: Expecting value"},
      {"[1, 2", "line 1, column 6: Expecting ',' delimiter"},
      {"[1,]", "line 1, column 3: Illegal trailing comma before end of array"},
      {"{\"a\" 1}", "line 1, column 6: Expecting ':' delimiter"},
      {"{a: 1}", "line 1, column 2: Expecting property name enclosed in double quotes"},
      {"{\"a\": 1,}", "line 1, column 8: Illegal trailing comma before end of object"},
      {"\"abc", "line 1, column 1: Unterminated string starting at"},
      {"\"a\nb\"", "line 1, column 3: Invalid control character at"},
      {"\"\\x\"", "line 1, column 2: Invalid \\escape"},
      {"\"\\u12g4\"", "line 1, column 3: Invalid \\uXXXX escape"},
      {"1 2", "line 1, column 3: Extra data"},
      {"01", "line 1, column 2: Extra data"},
      {"[\"\xC3\xA9\" 1]", "line 1, column 6: Expecting ',' delimiter"},
      {"-", "line 1, column 1: Expecting value"},
  };
  for (const auto& [text, place] : mistakes) {
    const auto value = ParseJson(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.status().code, ErrorCode::kInvalidInput);
    EXPECT_EQ(value.status().message, std::string("malformed JSON in ") + place) << text;
  }
}

TEST(JsonTest, RefusesWhatIsNotUtf8OrTooDeepOrTooLong) {
  EXPECT_EQ(ParseJson("[\"ab\xFF\"]").status().found, "byte 4");
  EXPECT_EQ(ParseJson("\"\xED\xA0\x80\"").status().found, "byte 1");
  EXPECT_TRUE(ParseJson(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_EQ(ParseJson(std::string(65, '[') + std::string(65, ']')).status().field, "depth");
  EXPECT_EQ(ParseJson(std::string(1 << 20, '[')).status().field, "depth");
  EXPECT_EQ(ParseJson(std::string(5000, '9')).status().expected, "64 bits");
}

TEST(JsonTest, WritesNumbersAsPythonsReprDoes) {
  const std::pair<double, const char*> numbers[] = {
      {0, "0.0"},
      {-0.0, "-0.0"},
      {1, "1.0"},
      {0.1, "0.1"},
      {0.1f, "0.10000000149011612"},
      {1e-4, "0.0001"},
      {9.9e-5, "9.9e-05"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {5e-324, "5e-324"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {-2.5e-7, "-2.5e-07"},
      {123456.789, "123456.789"}};
  for (const auto& [number, text] : numbers) EXPECT_EQ(Written(number), text);
  EXPECT_EQ(Written(std::int64_t{-5}), "-5");
  EXPECT_EQ(Written(true), "true");
}

TEST(JsonTest, WritesTextsInAscii) {
  EXPECT_EQ(Written(std::string_view("a\"\\\n\t\x01\x7F\xC3\xA9\xF0\x9F\x98\x80")),
            R"("a\"\\\n\t\u0001\u007f\u00e9\ud83d\ude00")");
  // Half of a surrogate pair comes back as it was.
  const auto half = ParseJson(R"("\ud800x")");
  ASSERT_TRUE(half.ok());
  EXPECT_EQ(Written(std::string_view(half->text())), R"("\ud800x")");
  EXPECT_EQ(ReplaceInvalidUtf8("a\xFF\xED\xA0\x80z"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
}

}  // namespace
}  // namespace ncn::native
