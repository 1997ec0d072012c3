#include "sandbox/seccomp_policy_file.h"

#include <seccomp.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/seccomp_json.h"
#include "sandbox/seccomp_rules.h"

namespace ncn::sandbox {
namespace {

using Operator = ArgumentTest::Operator;
using Numbers = std::map<std::string, int>;

constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kIncludesMax = 4;
constexpr std::size_t kNumbersMax = 64;
constexpr unsigned kArguments = 6;
constexpr int kErrnoMax = 133;  // EHWPOISON, the last that Linux names
constexpr std::uint64_t kAllBits = ~std::uint64_t{0};

bool IsCallName(std::string_view name) {
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

bool IsFileName(std::string_view name) {
  return name.ends_with(".json") && IsCallName(name.substr(0, name.size() - 5));
}

// libseccomp's number of a call; negative when it knows none on x86-64.
int ResolveName(const std::string& name) {
  return seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name.c_str());
}

absl::StatusOr<std::vector<std::string>> ParseIncludes(const JsonField& field) {
  ASSIGN_OR_RETURN(auto items, field.Items(kIncludesMax));
  std::vector<std::string> includes;
  for (const JsonField& item : items) {
    ASSIGN_OR_RETURN(std::string name, item.Text(kNameBytesMax));
    if (!IsFileName(name)) return item.Error("must be the name of a .json file, without a folder");
    if (std::ranges::find(includes, name) != includes.end()) return item.Error("is included twice");
    includes.push_back(std::move(name));
  }
  return includes;
}

absl::StatusOr<Numbers> ParseNumbers(const JsonField& field) {
  ASSIGN_OR_RETURN(auto members, field.Members(kNumbersMax));
  Numbers numbers;
  for (const auto& [name, value] : members) {
    if (name.empty() || name.size() > kNameBytesMax || !IsCallName(name)) {
      return value.Error("is no name of a system call");
    }
    ASSIGN_OR_RETURN(std::uint64_t parsed, value.Number(kSystemCallNumberMax));
    const int number = static_cast<int>(parsed);
    if (int known = ResolveName(name); known >= 0 && known != number) {
      return value.Error(base::StrCat("is ", number, ", but this call has the number ", known));
    }
    const std::unique_ptr<char, decltype(&std::free)> other(
        seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number), &std::free);
    if (other && name != other.get()) {
      return value.Error(base::StrCat("is ", number, ", the number of ", other.get()));
    }
    for (const auto& [earlier, taken] : numbers) {
      if (taken == number) return value.Error(base::StrCat("has the number of ", earlier));
    }
    numbers.emplace(name, number);
  }
  return numbers;
}

absl::StatusOr<std::vector<SystemCall>> ParseCalls(const JsonField& field, const Numbers& numbers) {
  ASSIGN_OR_RETURN(auto items, field.Items(kSeccompCallsPerEntryMax));
  std::vector<SystemCall> calls;
  for (const JsonField& item : items) {
    ASSIGN_OR_RETURN(std::string name, item.Text(kNameBytesMax));
    int number = IsCallName(name) ? ResolveName(name) : -1;
    if (auto own = numbers.find(name); own != numbers.end()) number = own->second;
    if (number < 0 || number > kSystemCallNumberMax) {
      return item.Error(base::StrCat(Quoted(name),
                                     " is no system call of x86-64; correct the name, or give its "
                                     "number under \"numbers\" when it is new"));
    }
    calls.push_back({.name = std::move(name), .number = number});
  }
  return calls;
}

absl::StatusOr<SeccompAction> ParseAction(const JsonField& field) {
  using Kind = SeccompAction::Kind;
  ASSIGN_OR_RETURN(std::string text, field.Text(kNameBytesMax));
  if (text == "allow") return SeccompAction{.kind = Kind::kAllow};
  if (text == "notify") return SeccompAction{.kind = Kind::kNotify};
  constexpr std::string_view kErrno = "errno:";
  if (text.starts_with(kErrno)) {
    const std::string_view name = std::string_view(text).substr(kErrno.size());
    // The C library names this one otherwise.
    if (name == "ENOTSUP" || name == "EOPNOTSUPP") {
      return SeccompAction{.kind = Kind::kErrno, .error = ENOTSUP};
    }
    for (int error = 1; error <= kErrnoMax && name.starts_with('E'); ++error) {
      if (base::ErrnoName(error) == name)
        return SeccompAction{.kind = Kind::kErrno, .error = error};
    }
  }
  return field.Error(base::StrCat(Quoted(text), " is no action: allow, errno:NAME or notify"));
}

absl::StatusOr<std::optional<ExecMemory>> ParseExecMemory(const JsonField& entry) {
  if (!entry.Has("exec_memory")) return std::optional<ExecMemory>();
  ASSIGN_OR_RETURN(JsonField field, entry.Required("exec_memory"));
  ASSIGN_OR_RETURN(std::string text, field.Text(kNameBytesMax));
  if (text == "jit") return std::optional(ExecMemory::kJit);
  if (text == "denied") return std::optional(ExecMemory::kDenied);
  return field.Error("must be \"jit\" or \"denied\"");
}

// The named values of a condition, each with the place it stands in.
absl::StatusOr<std::vector<std::uint64_t>> ParseValues(const JsonField& field, std::uint64_t max) {
  ASSIGN_OR_RETURN(auto members, field.Members(kSeccompValuesPerConditionMax));
  std::vector<std::uint64_t> values;
  for (const auto& [name, member] : members) {
    ASSIGN_OR_RETURN(std::uint64_t value, member.Number(max));
    if (std::ranges::find(values, value) != values.end()) {
      return member.Error("has the value of another name");
    }
    values.push_back(value);
  }
  return values;
}

// "is" and "is_not": the whole argument, or its low 32 bits where the kernel takes an int.
absl::StatusOr<std::vector<ArgumentTest>> ParseEquality(const JsonField& condition,
                                                        unsigned argument, bool equal) {
  std::uint64_t mask = 0xffffffff;
  if (condition.Has("bits")) {
    ASSIGN_OR_RETURN(JsonField field, condition.Required("bits"));
    ASSIGN_OR_RETURN(std::uint64_t bits, field.Number(64));
    if (bits != 32 && bits != 64) return field.Error("must be 32 or 64");
    if (bits == 64) mask = kAllBits;
  }
  ASSIGN_OR_RETURN(JsonField field, condition.Required(equal ? "is" : "is_not"));
  ASSIGN_OR_RETURN(std::vector<std::uint64_t> values, ParseValues(field, mask));
  if (!equal && (values.size() != 1 || mask != kAllBits)) {
    return field.Error("takes one value and \"bits\": 64, as a filter cannot test it otherwise");
  }
  std::vector<ArgumentTest> any;
  any.reserve(values.size());
  for (std::uint64_t value : values) {
    any.push_back({.argument = argument,
                   .op = equal ? Operator::kMaskedEqual : Operator::kNotEqual,
                   .mask = mask,
                   .value = value});
  }
  return any;
}

// "has_none", "has_all" and "has_any": single bits of the argument.
absl::StatusOr<std::vector<ArgumentTest>> ParseFlags(const JsonField& field, unsigned argument,
                                                     std::string_view key) {
  ASSIGN_OR_RETURN(std::vector<std::uint64_t> flags, ParseValues(field, kAllBits));
  std::vector<ArgumentTest> each;
  std::uint64_t all = 0;
  for (std::uint64_t flag : flags) {
    if (!std::has_single_bit(flag)) return field.Error("every flag must be one bit");
    all |= flag;
    each.push_back({.argument = argument, .mask = flag, .value = flag});
  }
  if (key == "has_any") return each;
  return std::vector<ArgumentTest>{
      {.argument = argument, .mask = all, .value = key == "has_all" ? all : 0}};
}

// One condition: tests of one argument, of which any suffices.
absl::StatusOr<std::vector<ArgumentTest>> ParseCondition(const JsonField& condition) {
  constexpr std::string_view kKinds[] = {"is", "is_not", "has_none", "has_all", "has_any"};
  RETURN_IF_ERROR(
      condition.IsObjectOf({"argument", "bits", "is", "is_not", "has_none", "has_all", "has_any"}));
  ASSIGN_OR_RETURN(JsonField argument_field, condition.Required("argument"));
  ASSIGN_OR_RETURN(std::uint64_t argument, argument_field.Number(kArguments - 1));
  std::vector<std::string_view> present;
  std::ranges::copy_if(kKinds, std::back_inserter(present),
                       [&](std::string_view kind) { return condition.Has(kind); });
  if (present.size() != 1) {
    return condition.Error("must have exactly one of is, is_not, has_none, has_all, has_any");
  }
  const std::string_view kind = present.front();
  const unsigned index = static_cast<unsigned>(argument);
  if (kind == "is" || kind == "is_not") return ParseEquality(condition, index, kind == "is");
  if (condition.Has("bits")) return condition.Error("\"bits\" goes with is and is_not only");
  ASSIGN_OR_RETURN(JsonField field, condition.Required(kind));
  return ParseFlags(field, index, kind);
}

// Multiplies an entry's conditions out, so that libseccomp can take each alternative as one rule.
absl::StatusOr<std::vector<ArgumentTests>> ParseAlternatives(const JsonField& entry) {
  std::vector<ArgumentTests> alternatives = {{}};
  if (!entry.Has("when")) return alternatives;
  ASSIGN_OR_RETURN(JsonField when, entry.Required("when"));
  ASSIGN_OR_RETURN(auto conditions, when.Items(kSeccompConditionsMax));
  for (const JsonField& condition : conditions) {
    ASSIGN_OR_RETURN(std::vector<ArgumentTest> any, ParseCondition(condition));
    std::vector<ArgumentTests> product;
    for (const ArgumentTests& tests : alternatives) {
      for (const ArgumentTest& test : any) {
        if (!tests.empty() && tests.back().argument >= test.argument) {
          return condition.Error(
              "conditions must be in the order of their arguments, one for each");
        }
        product.push_back(tests);
        product.back().push_back(test);
      }
    }
    if (product.size() > kSeccompAlternativesMax) return when.Error("has too many alternatives");
    alternatives = std::move(product);
  }
  return alternatives;
}

absl::StatusOr<SeccompEntry> ParseEntry(const JsonField& field, const Numbers& numbers) {
  RETURN_IF_ERROR(field.IsObjectOf({"calls", "action", "when", "exec_memory", "reason"}));
  SeccompEntry entry;
  ASSIGN_OR_RETURN(JsonField calls, field.Required("calls"));
  ASSIGN_OR_RETURN(entry.calls, ParseCalls(calls, numbers));
  ASSIGN_OR_RETURN(JsonField action, field.Required("action"));
  ASSIGN_OR_RETURN(entry.action, ParseAction(action));
  ASSIGN_OR_RETURN(JsonField reason, field.Required("reason"));
  ASSIGN_OR_RETURN(entry.reason, reason.Text(kSeccompReasonBytesMax));
  if (entry.reason.find_first_not_of(" \t\r\n") == std::string::npos) {
    return reason.Error("says nothing");
  }
  ASSIGN_OR_RETURN(entry.exec_memory, ParseExecMemory(field));
  ASSIGN_OR_RETURN(entry.alternatives, ParseAlternatives(field));
  return entry;
}

absl::StatusOr<SeccompPolicy> ParseFile(const JsonField& root) {
  RETURN_IF_ERROR(root.IsObjectOf({"description", "includes", "numbers", "entries"}));
  SeccompPolicy policy;
  ASSIGN_OR_RETURN(JsonField description, root.Required("description"));
  RETURN_IF_ERROR(description.Text(kSeccompReasonBytesMax).status());
  if (root.Has("includes")) {
    ASSIGN_OR_RETURN(JsonField includes, root.Required("includes"));
    ASSIGN_OR_RETURN(policy.includes, ParseIncludes(includes));
  }
  if (root.Has("numbers")) {
    ASSIGN_OR_RETURN(JsonField numbers, root.Required("numbers"));
    ASSIGN_OR_RETURN(policy.numbers, ParseNumbers(numbers));
  }
  ASSIGN_OR_RETURN(JsonField field, root.Required("entries"));
  ASSIGN_OR_RETURN(auto entries, field.Items(kSeccompEntriesMax));
  for (const JsonField& item : entries) {
    ASSIGN_OR_RETURN(SeccompEntry entry, ParseEntry(item, policy.numbers));
    policy.entries.push_back(std::move(entry));
  }
  return policy;
}

}  // namespace

std::string ToString(const SeccompAction& action) {
  switch (action.kind) {
    case SeccompAction::Kind::kAllow:
      return "allow";
    case SeccompAction::Kind::kErrno:
      return base::StrCat("errno:", base::ErrnoName(action.error));
    case SeccompAction::Kind::kNotify:
      return "notify";
  }
  return "unknown";
}

absl::StatusOr<SeccompPolicy> ParseSeccompPolicy(std::string_view json) {
  ASSIGN_OR_RETURN(nlohmann::json parsed, ParseStrictJson(json, kSeccompPolicyBytesMax));
  ASSIGN_OR_RETURN(SeccompPolicy policy, ParseFile(JsonField(parsed, "")));
  for (ExecMemory option : {ExecMemory::kJit, ExecMemory::kDenied}) {
    RETURN_IF_ERROR(SelectSeccompRules({policy}, option).status());
  }
  return policy;
}

}  // namespace ncn::sandbox
