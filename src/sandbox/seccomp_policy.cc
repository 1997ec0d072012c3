#include "sandbox/seccomp_policy.h"

#include <seccomp.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/synchronized.h"
#include "sandbox/seccomp_policy_file.h"
#include "sandbox/seccomp_rules.h"

namespace ncn::embedded {
extern const std::string_view kSeccompBasePolicy;
extern const std::string_view kSeccompPythonPolicy;
extern const std::string_view kSeccompNativePolicy;
extern const std::string_view kSeccompZygotePolicy;
}  // namespace ncn::embedded

namespace ncn::sandbox {
namespace {

constexpr std::string_view kBaseName = "base.json";

struct PolicyFile {
  std::string_view name;
  std::string_view bytes;
};

PolicyFile FileOf(SeccompProfile profile) {
  switch (profile) {
    case SeccompProfile::kPython:
      return {"python.json", embedded::kSeccompPythonPolicy};
    case SeccompProfile::kNative:
      return {"native.json", embedded::kSeccompNativePolicy};
    case SeccompProfile::kZygote:
      return {"zygote.json", embedded::kSeccompZygotePolicy};
  }
  return {"", ""};
}

absl::StatusOr<SeccompPolicy> ParseNamed(const PolicyFile& file) {
  absl::StatusOr<SeccompPolicy> policy = ParseSeccompPolicy(file.bytes);
  if (policy.ok()) return policy;
  return absl::Status(policy.status().code(), base::StrCat("policy ", file.name, ": ",
                                                           base::ToStd(policy.status().message())));
}

// The profile's file and those that it includes, which include no further.
absl::StatusOr<std::vector<PolicyFile>> FilesOf(SeccompProfile profile) {
  std::vector<PolicyFile> files = {FileOf(profile)};
  ASSIGN_OR_RETURN(SeccompPolicy policy, ParseNamed(files.front()));
  for (const std::string& name : policy.includes) {
    if (name == kBaseName) {
      files.push_back({kBaseName, embedded::kSeccompBasePolicy});
    } else if (profile == SeccompProfile::kZygote && name == "python.json") {
      files.push_back(FileOf(SeccompProfile::kPython));
    } else {
      return absl::InvalidArgumentError(base::StrCat("policy ", files.front().name, " includes ",
                                                     name, ", which is not part of this program"));
    }
  }
  return files;
}

// Every part preceded by its length, so that no two different policies hash alike.
std::string HashOf(const std::vector<PolicyFile>& files, ExecMemory exec_memory) {
  base::Sha256Hasher hasher;
  const auto add = [&](std::string_view part) {
    hasher.Update(base::StrCat(part.size(), ":")).Update(part);
  };
  for (const PolicyFile& file : files) {
    add(file.name);
    add(file.bytes);
  }
  add(exec_memory == ExecMemory::kJit ? "exec_memory=jit" : "exec_memory=denied");
  return base::AsHex(hasher.Finish());
}

// Of stacked filters an errno beats a notification, so a zygote's must allow whatever its
// children's decide, be it a violation.
std::vector<SeccompRule> AllowEveryCallOf(const std::vector<SeccompPolicy>& policies) {
  std::map<int, SystemCall> calls;
  for (const SeccompPolicy& policy : policies) {
    for (const SeccompEntry& entry : policy.entries) {
      for (const SystemCall& call : entry.calls) calls.emplace(call.number, call);
    }
  }
  std::vector<SeccompRule> rules;
  for (const auto& [number, call] : calls) {
    rules.push_back({.call = call, .action = {.kind = SeccompAction::Kind::kAllow}, .tests = {}});
  }
  return rules;
}

using Compiled = absl::StatusOr<std::shared_ptr<const SeccompProgram>>;

Compiled Compile(SeccompProfile profile, ExecMemory exec_memory) {
  ASSIGN_OR_RETURN(std::vector<PolicyFile> files, FilesOf(profile));
  std::vector<SeccompPolicy> policies;
  for (const PolicyFile& file : files) {
    ASSIGN_OR_RETURN(SeccompPolicy policy, ParseNamed(file));
    policies.push_back(std::move(policy));
  }
  std::vector<SeccompRule> rules;
  if (profile == SeccompProfile::kZygote) {
    rules = AllowEveryCallOf(policies);
  } else {
    ASSIGN_OR_RETURN(rules, SelectSeccompRules(policies, exec_memory));
  }
  ASSIGN_OR_RETURN(std::string bpf, CompileSeccompRules(rules));
  return std::make_shared<const SeccompProgram>(
      SeccompProgram{.bpf = std::move(bpf), .policy_hash = HashOf(files, exec_memory)});
}

// Names of the calls that the base policy gives numbers to.
const std::map<int, std::string>& NewerNames() {
  static const auto& names = *[] {
    auto* result = new std::map<int, std::string>;
    if (auto policy = ParseSeccompPolicy(embedded::kSeccompBasePolicy); policy.ok()) {
      for (const auto& [name, number] : policy->numbers) result->emplace(number, name);
    }
    return result;
  }();
  return names;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SeccompProgram>> CompileSeccompPolicy(SeccompProfile profile,
                                                                           ExecMemory exec_memory) {
  using Cache = base::Synchronized<std::map<std::pair<SeccompProfile, ExecMemory>, Compiled>>;
  static Cache& cache = *new Cache;  // never destroyed: a thread may compile while the process ends
  return cache.With([&](auto& compiled) -> Compiled {
    const std::pair key(profile, exec_memory);
    auto found = compiled.find(key);
    if (found == compiled.end()) found = compiled.emplace(key, Compile(profile, exec_memory)).first;
    return found->second;
  });
}

std::string SystemCallName(int number) {
  const std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number), &std::free);
  if (name) return name.get();
  if (auto newer = NewerNames().find(number); newer != NewerNames().end()) return newer->second;
  return base::StrCat("system call ", number);
}

}  // namespace ncn::sandbox
