#include "sandbox/seccomp_policy.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "nlohmann/json.hpp"

namespace ncn::embedded {
extern const std::string_view kSeccompBasePolicy;
extern const std::string_view kSeccompPythonPolicy;
extern const std::string_view kSeccompNativePolicy;
}  // namespace ncn::embedded

namespace ncn::sandbox {
namespace {

using testing::MatchesRegex;
using testing::SizeIs;

constexpr SeccompProfile kProfiles[] = {SeccompProfile::kPython, SeccompProfile::kNative};
constexpr ExecMemory kExecMemories[] = {ExecMemory::kJit, ExecMemory::kDenied};

TEST(SeccompPolicyTest, CompilesEveryCombinationToAProgramOfItsOwn) {
  std::set<std::string> hashes, programs;
  for (SeccompProfile profile : kProfiles) {
    for (ExecMemory exec_memory : kExecMemories) {
      auto program = CompileSeccompPolicy(profile, exec_memory);
      ASSERT_TRUE(program.ok()) << program.status();
      EXPECT_EQ((*program)->bpf.size() % sizeof(sock_filter), 0U);
      EXPECT_LE((*program)->bpf.size() / sizeof(sock_filter), std::size_t{BPF_MAXINSNS});
      EXPECT_THAT((*program)->policy_hash, MatchesRegex("[0-9a-f]+"));
      EXPECT_THAT((*program)->policy_hash, SizeIs(64));
      hashes.insert((*program)->policy_hash);
      programs.insert((*program)->bpf);
    }
  }
  EXPECT_THAT(hashes, SizeIs(4));
  EXPECT_THAT(programs, SizeIs(4));
}

TEST(SeccompPolicyTest, CompilesOnceAlsoForManyThreads) {
  std::vector<std::shared_ptr<const SeccompProgram>> seen(8);
  {
    std::vector<std::jthread> threads;
    for (auto& program : seen) {
      threads.emplace_back([&program] {
        auto compiled = CompileSeccompPolicy(SeccompProfile::kNative, ExecMemory::kDenied);
        if (compiled.ok()) program = *compiled;
      });
    }
  }
  ASSERT_NE(seen.front(), nullptr);
  for (const auto& program : seen) EXPECT_EQ(program, seen.front());
}

TEST(SeccompPolicyTest, NamesSystemCalls) {
  EXPECT_EQ(SystemCallName(101), "ptrace");
  EXPECT_EQ(SystemCallName(467), "open_tree_attr");  // newer than libseccomp 2.5
  EXPECT_EQ(SystemCallName(9999), "system call 9999");
  EXPECT_EQ(SystemCallName(-1), "system call -1");
  EXPECT_EQ(SystemCallName(0x40000065), "system call 1073741925");  // x32
}

// The constants of the headers, for those names that the policies use. New ones, which an older
// header lacks, stand as numbers.
const std::map<std::string, std::uint64_t>& Constants() {
#define NCN_CONSTANT(name) \
  { #name, static_cast < std::uint64_t>(name) }
  static const auto& constants = *new std::map<std::string, std::uint64_t>{
      {"NULL", 0},
      NCN_CONSTANT(AF_UNIX),
      {"ARCH_SET_FS", 0x1002},
      NCN_CONSTANT(CLONE_NEWCGROUP),
      NCN_CONSTANT(CLONE_NEWIPC),
      NCN_CONSTANT(CLONE_NEWNET),
      NCN_CONSTANT(CLONE_NEWNS),
      NCN_CONSTANT(CLONE_NEWPID),
      NCN_CONSTANT(CLONE_NEWUSER),
      NCN_CONSTANT(CLONE_NEWUTS),
      NCN_CONSTANT(CLONE_PTRACE),
      NCN_CONSTANT(CLONE_UNTRACED),
      NCN_CONSTANT(FIOCLEX),
      NCN_CONSTANT(FIONBIO),
      NCN_CONSTANT(FIONCLEX),
      NCN_CONSTANT(FIONREAD),
      NCN_CONSTANT(F_DUPFD),
      NCN_CONSTANT(F_DUPFD_CLOEXEC),
      {"F_DUPFD_QUERY", 1027},
      NCN_CONSTANT(F_GETFD),
      NCN_CONSTANT(F_GETFL),
      NCN_CONSTANT(F_GETPIPE_SZ),
      NCN_CONSTANT(F_GET_SEALS),
      NCN_CONSTANT(F_SETFD),
      NCN_CONSTANT(F_SETFL),
      NCN_CONSTANT(F_SETPIPE_SZ),
      NCN_CONSTANT(MADV_COLD),
      {"MADV_COLLAPSE", 25},
      NCN_CONSTANT(MADV_DODUMP),
      NCN_CONSTANT(MADV_DOFORK),
      NCN_CONSTANT(MADV_DONTDUMP),
      NCN_CONSTANT(MADV_DONTFORK),
      NCN_CONSTANT(MADV_DONTNEED),
      {"MADV_DONTNEED_LOCKED", 24},
      NCN_CONSTANT(MADV_FREE),
      {"MADV_GUARD_INSTALL", 102},
      {"MADV_GUARD_REMOVE", 103},
      NCN_CONSTANT(MADV_HUGEPAGE),
      NCN_CONSTANT(MADV_KEEPONFORK),
      NCN_CONSTANT(MADV_NOHUGEPAGE),
      NCN_CONSTANT(MADV_NORMAL),
      NCN_CONSTANT(MADV_PAGEOUT),
      NCN_CONSTANT(MADV_POPULATE_READ),
      NCN_CONSTANT(MADV_POPULATE_WRITE),
      NCN_CONSTANT(MADV_RANDOM),
      NCN_CONSTANT(MADV_REMOVE),
      NCN_CONSTANT(MADV_SEQUENTIAL),
      NCN_CONSTANT(MADV_WILLNEED),
      NCN_CONSTANT(MADV_WIPEONFORK),
      NCN_CONSTANT(MAP_ANONYMOUS),
      NCN_CONSTANT(PROT_EXEC),
      NCN_CONSTANT(PROT_WRITE),
      NCN_CONSTANT(PR_CAPBSET_READ),
      NCN_CONSTANT(PR_GET_DUMPABLE),
      NCN_CONSTANT(PR_GET_NAME),
      NCN_CONSTANT(PR_GET_NO_NEW_PRIVS),
      NCN_CONSTANT(PR_GET_SECCOMP),
      NCN_CONSTANT(PR_SET_MM),
      NCN_CONSTANT(PR_SET_NAME),
      NCN_CONSTANT(PR_SET_NO_NEW_PRIVS),
      NCN_CONSTANT(PR_SET_SECCOMP),
      {"PR_SET_VMA", 0x53564d41},
      NCN_CONSTANT(TCGETS),
      {"TCGETS2", 0x802c542a},
      NCN_CONSTANT(TIOCGWINSZ),
      NCN_CONSTANT(TIOCLINUX),
      NCN_CONSTANT(TIOCSTI),
  };
#undef NCN_CONSTANT
  return constants;
}

std::uint64_t ValueOf(const nlohmann::json& value) {
  return value.is_string() ? std::stoull(value.get<std::string>(), nullptr, 16)
                           : value.get<std::uint64_t>();
}

TEST(SeccompPolicyTest, ConstantsInThePoliciesAreTheHeaders) {
  for (std::string_view text : {embedded::kSeccompBasePolicy, embedded::kSeccompPythonPolicy,
                                embedded::kSeccompNativePolicy}) {
    const auto policy = nlohmann::json::parse(text);
    for (const auto& entry : policy["entries"]) {
      if (!entry.contains("when")) continue;
      for (const auto& condition : entry["when"]) {
        for (const auto& [key, values] : condition.items()) {
          if (!values.is_object()) continue;
          for (const auto& [name, value] : values.items()) {
            ASSERT_TRUE(Constants().contains(name)) << "add " << name << " to this test";
            EXPECT_EQ(ValueOf(value), Constants().at(name)) << name;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace ncn::sandbox
