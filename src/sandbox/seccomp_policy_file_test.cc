#include "sandbox/seccomp_policy_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "base/strings.h"
#include "sandbox/seccomp_rules.h"

namespace ncn::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::string File(std::string_view entries) {
  return base::StrCat(R"({"description": "d", "numbers": {"open_tree_attr": 467}, "entries": [)",
                      entries, "]}");
}

// An entry that allows ioctl under the condition.
std::string When(std::string_view condition) {
  return File(base::StrCat(R"({"calls": ["ioctl"], "action": "allow", "reason": "r", "when": [)",
                           condition, "]}"));
}

void ExpectRefused(const std::string& json, const std::string& message) {
  absl::StatusOr<SeccompPolicy> policy = ParseSeccompPolicy(json);
  ASSERT_FALSE(policy.ok()) << json;
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(policy.status().message()), HasSubstr(message)) << json;
}

TEST(SeccompPolicyFileTest, ReadsWhatAnEntrySays) {
  auto policy = ParseSeccompPolicy(File(
      R"({"calls": ["read", "open_tree_attr"], "action": "errno:EPERM", "exec_memory": "denied",
          "when": [{"argument": 1, "is": {"A": 3, "B": "0xff"}}, {"argument": 2, "has_all": {"X": 4}}],
          "reason": "because"})"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  ASSERT_THAT(policy->entries, SizeIs(1));
  const SeccompEntry& entry = policy->entries[0];
  ASSERT_THAT(entry.calls, SizeIs(2));
  EXPECT_EQ(entry.calls[0].number, 0);
  EXPECT_EQ(entry.calls[1].number, 467);
  EXPECT_EQ(entry.action, (SeccompAction{SeccompAction::Kind::kErrno, EPERM}));
  EXPECT_EQ(entry.exec_memory, ExecMemory::kDenied);
  EXPECT_EQ(entry.reason, "because");
  const ArgumentTest has_all{.argument = 2, .mask = 4, .value = 4};
  EXPECT_THAT(
      entry.alternatives,
      ElementsAre(
          ElementsAre(ArgumentTest{.argument = 1, .mask = 0xffffffff, .value = 3}, has_all),
          ElementsAre(ArgumentTest{.argument = 1, .mask = 0xffffffff, .value = 255}, has_all)));
}

TEST(SeccompPolicyFileTest, RefusesWhatIsNoPolicyFile) {
  ExpectRefused("", "no well-formed JSON");
  ExpectRefused("{", "no well-formed JSON");
  ExpectRefused("[]", "the file: must be an object");
  ExpectRefused("{}", "lacks \"description\"");
  ExpectRefused(R"({"description": "d"})", "lacks \"entries\"");
  ExpectRefused(R"({"description": "d", "entries": []})", "entries: must have 1 to 256 items");
  ExpectRefused(R"({"description": "d", "default": "allow", "entries": [1]})",
                "unknown key \"default\"");
  ExpectRefused(std::string(kSeccompPolicyBytesMax + 1, ' '), "more than the 262144");
}

TEST(SeccompPolicyFileTest, RefusesDeepNestingWithoutRecursion) {
  ExpectRefused(std::string(100'000, '['), "no well-formed JSON");
  ExpectRefused(std::string(100'000, '[') + std::string(100'000, ']'), "must be an object");
}

TEST(SeccompPolicyFileTest, RefusesAKeyThatStandsTwice) {
  ExpectRefused(
      File(R"({"calls": ["read"], "action": "notify", "action": "allow", "reason": "r"})"),
      "the key \"action\" twice");
}

TEST(SeccompPolicyFileTest, RefusesAnEntryWithoutReasonOrWithUnknownWords) {
  ExpectRefused(File(R"({"calls": ["read"], "action": "allow"})"), "entries[0]: lacks \"reason\"");
  ExpectRefused(File(R"({"calls": ["read"], "action": "allow", "reason": ""})"),
                "entries[0].reason: must have 1 to 400 bytes");
  ExpectRefused(File(R"({"calls": ["read"], "action": "allow", "reason": " \n"})"), "says nothing");
  ExpectRefused(File(R"({"calls": ["read"], "reason": "r"})"), "lacks \"action\"");
  ExpectRefused(File(R"({"calls": [], "action": "allow", "reason": "r"})"), "1 to 128 items");
  ExpectRefused(File(R"({"calls": ["raed"], "action": "allow", "reason": "r"})"),
                "entries[0].calls[0]: \"raed\" is no system call of x86-64");
  // A call of i386 alone has a negative number in libseccomp.
  ExpectRefused(File(R"({"calls": ["socketcall"], "action": "allow", "reason": "r"})"),
                "no system call of x86-64");
  ExpectRefused(File(R"({"calls": ["read"], "action": "allow", "reason": "r", "if": 1})"),
                "entries[0]: has the unknown key \"if\"");
  ExpectRefused(File(R"({"calls": ["read"], "action": "permit", "reason": "r"})"), "is no action");
  ExpectRefused(File(R"({"calls": ["read"], "action": "errno:EFOO", "reason": "r"})"),
                "is no action");
  ExpectRefused(File(R"({"calls": ["read"], "action": "errno:unknown errno", "reason": "r"})"),
                "is no action");
  ExpectRefused(
      File(R"({"calls": ["read"], "action": "allow", "reason": "r", "exec_memory": "no"})"),
      "must be \"jit\" or \"denied\"");
}

TEST(SeccompPolicyFileTest, RefusesConditionsThatAreUnclear) {
  EXPECT_TRUE(ParseSeccompPolicy(When(R"({"argument": 1, "is": {"A": 1}})")).ok());
  ExpectRefused(When(R"({"is": {"A": 1}})"), "entries[0].when[0]: lacks \"argument\"");
  ExpectRefused(When(R"({"argument": 6, "is": {"A": 1}})"), "must not be above 5");
  ExpectRefused(When(R"({"argument": 1})"), "exactly one of");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": 1}, "has_any": {"B": 2}})"), "exactly one of");
  ExpectRefused(When(R"({"argument": 1, "is": {}})"), "must have 1 to 64 members");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": -1}})"), "must be a whole number");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": 1.5}})"), "must be a whole number");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": "12"}})"), "must start with 0x");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": "0x"}})"), "no hexadecimal number");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": "0x1g"}})"), "no hexadecimal number");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": "0x11111111111111111"}})"),
                "no hexadecimal number");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": "0x100000000"}})"), "must not be above");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": 1, "B": 1}})"), "the value of another name");
  ExpectRefused(When(R"({"argument": 1, "is_not": {"A": 1}})"), "\"bits\": 64");
  ExpectRefused(When(R"({"argument": 1, "bits": 16, "is": {"A": 1}})"), "must be 32 or 64");
  ExpectRefused(When(R"({"argument": 1, "bits": 64, "has_all": {"A": 1}})"), "goes with is");
  ExpectRefused(When(R"({"argument": 1, "has_any": {"A": 3}})"), "every flag must be one bit");
  ExpectRefused(When(R"({"argument": 1, "is": {"A": 1}}, {"argument": 1, "is": {"A": 2}})"),
                "in the order of their arguments");
}

TEST(SeccompPolicyFileTest, BoundsTheAlternativesOfAnEntry) {
  std::string values;
  for (int i = 0; i < 9; ++i) values += base::StrCat(i == 0 ? "" : ",", "\"V", i, "\":", i);
  ExpectRefused(When(base::StrCat(R"({"argument": 1, "is": {)", values,
                                  R"(}}, {"argument": 2, "is": {)", values, "}}")),
                "too many alternatives");
}

TEST(SeccompPolicyFileTest, RefusesCallsThatAreDecidedTwice) {
  ExpectRefused(File(R"({"calls": ["read", "read"], "action": "allow", "reason": "r"})"),
                "read is decided twice");
  ExpectRefused(File(R"({"calls": ["read"], "action": "allow", "reason": "r"},
                        {"calls": ["read"], "action": "notify", "reason": "r"})"),
                "read is decided in contradiction, as allow and as notify");
  // Under one option only.
  ExpectRefused(File(R"({"calls": ["read"], "action": "allow", "reason": "r"},
                        {"calls": ["read"], "action": "notify", "exec_memory": "denied",
                         "reason": "r"})"),
                "in contradiction");
  // 5 and what has bit 2: 5 has it.
  ExpectRefused(File(R"({"calls": ["ioctl"], "action": "allow", "reason": "r",
                         "when": [{"argument": 1, "is": {"FIVE": 5}}]},
                        {"calls": ["ioctl"], "action": "notify", "reason": "r",
                         "when": [{"argument": 1, "has_any": {"FOUR": 4}}]})"),
                "in contradiction");
  // Different arguments may both match.
  ExpectRefused(File(R"({"calls": ["ioctl"], "action": "allow", "reason": "r",
                         "when": [{"argument": 1, "is": {"A": 5}}]},
                        {"calls": ["ioctl"], "action": "notify", "reason": "r",
                         "when": [{"argument": 2, "is": {"A": 5}}]})"),
                "in contradiction");
}

TEST(SeccompPolicyFileTest, TakesEntriesThatExcludeEachOther) {
  EXPECT_TRUE(ParseSeccompPolicy(File(
                                     R"({"calls": ["ioctl"], "action": "allow", "reason": "r",
                      "when": [{"argument": 1, "bits": 64, "is": {"A": 5}}]},
                     {"calls": ["ioctl"], "action": "notify", "reason": "r",
                      "when": [{"argument": 1, "bits": 64, "is_not": {"A": 5}}]},
                     {"calls": ["read"], "action": "allow", "exec_memory": "jit", "reason": "r"},
                     {"calls": ["read"], "action": "notify", "exec_memory": "denied",
                      "reason": "r"})"))
                  .ok());
}

TEST(SeccompPolicyFileTest, HoldsNumbersAgainstThoseItKnows) {
  const auto numbers = [](std::string_view members) {
    return base::StrCat(
        R"({"description": "d", "numbers": {)", members,
        R"(}, "entries": [{"calls": ["read"], "action": "allow", "reason": "r"}]})");
  };
  EXPECT_TRUE(ParseSeccompPolicy(numbers(R"("read": 0)")).ok());
  ExpectRefused(numbers(R"("read": 1)"), "this call has the number 0");
  ExpectRefused(numbers(R"("new_call": 1)"), "the number of write");
  ExpectRefused(numbers(R"("new_call": 4096)"), "must not be above 4095");
  ExpectRefused(numbers(R"("new_call": 900, "newer_call": 900)"), "has the number of new_call");
  ExpectRefused(numbers(R"("New Call": 900)"), "no name of a system call");
}

TEST(SeccompPolicyFileTest, RefusesIncludesThatLeaveTheFolder) {
  const auto includes = [](std::string_view names) {
    return base::StrCat(
        R"({"description": "d", "includes": [)", names,
        R"(], "entries": [{"calls": ["read"], "action": "allow", "reason": "r"}]})");
  };
  EXPECT_TRUE(ParseSeccompPolicy(includes(R"("base.json")")).ok());
  ExpectRefused(includes(R"("../base.json")"), "without a folder");
  ExpectRefused(includes(R"("base.json", "base.json")"), "included twice");
}

}  // namespace
}  // namespace ncn::sandbox
