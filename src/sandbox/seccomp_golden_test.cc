// The verdict of each compiled filter on every system call, held against
// tests/golden/seccomp_*.txt, so that a change of a policy shows in review as what it changes.
// After an intended change:
//   NCN_REGENERATE_GOLDEN=1 build/release/tests/sandbox_test --gtest_filter='*SeccompGolden*'
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "sandbox/bpf_interpreter.h"
#include "sandbox/seccomp_policy.h"
#include "sandbox/seccomp_rules.h"

namespace ncn::sandbox {
namespace {

constexpr int kNumberLast = 600;  // past every number that Linux has given out
constexpr std::uint64_t kHighBits = std::uint64_t{0xdeadbeef} << 32;

struct Probe {
  std::string_view call;
  std::string_view label;
  SystemCallArguments arguments;
};

const std::vector<Probe>& Probes() {
  static const auto& probes = *new std::vector<Probe>{
      {"clone", "SIGCHLD", {17}},
      {"clone", "a thread, as the C library starts it", {0x3d0f00}},
      {"clone", "vfork, as the C library spawns", {0x4111}},
      {"clone", "CLONE_PTRACE", {0x2011}},
      {"clone", "CLONE_UNTRACED", {0x800011}},
      {"clone", "CLONE_NEWNS", {0x20011}},
      {"clone", "CLONE_NEWCGROUP", {0x2000011}},
      {"clone", "CLONE_NEWUTS", {0x4000011}},
      {"clone", "CLONE_NEWIPC", {0x8000011}},
      {"clone", "CLONE_NEWUSER", {0x10000011}},
      {"clone", "CLONE_NEWPID", {0x20000011}},
      {"clone", "CLONE_NEWNET", {0x40000011}},
      {"clone", "CLONE_NEWUSER, high bits", {kHighBits | 0x10000011}},
      {"clone", "all namespaces", {0x7e020011}},
      {"ioctl", "TCGETS", {0, 0x5401}},
      {"ioctl", "TCGETS, high bits", {0, kHighBits | 0x5401}},
      {"ioctl", "TCSETS", {0, 0x5402}},
      {"ioctl", "TIOCSCTTY", {0, 0x540e}},
      {"ioctl", "TIOCGPGRP", {0, 0x540f}},
      {"ioctl", "TIOCSTI", {0, 0x5412}},
      {"ioctl", "TIOCSTI, high bits", {0, kHighBits | 0x5412}},
      {"ioctl", "TIOCGWINSZ", {0, 0x5413}},
      {"ioctl", "FIONREAD", {0, 0x541b}},
      {"ioctl", "TIOCLINUX", {0, 0x541c}},
      {"ioctl", "FIONBIO", {0, 0x5421}},
      {"ioctl", "FIONCLEX", {0, 0x5450}},
      {"ioctl", "FIOCLEX", {0, 0x5451}},
      {"ioctl", "FICLONE", {0, 0x40049409}},
      {"ioctl", "TCGETS2", {0, 0x802c542a}},
      {"fcntl", "F_DUPFD", {0, 0}},
      {"fcntl", "F_SETFL", {0, 4}},
      {"fcntl", "F_SETFL, high bits", {0, kHighBits | 4}},
      {"fcntl", "F_GETLK", {0, 5}},
      {"fcntl", "F_SETLK", {0, 6}},
      {"fcntl", "F_SETLKW", {0, 7}},
      {"fcntl", "F_SETOWN", {0, 8}},
      {"fcntl", "F_SETSIG", {0, 10}},
      {"fcntl", "F_OFD_SETLK", {0, 37}},
      {"fcntl", "F_SETLEASE", {0, 1024}},
      {"fcntl", "F_NOTIFY", {0, 1026}},
      {"fcntl", "F_DUPFD_CLOEXEC", {0, 1030}},
      {"fcntl", "F_ADD_SEALS", {0, 1033}},
      {"fcntl", "F_GET_SEALS", {0, 1034}},
      {"prctl", "PR_SET_PDEATHSIG", {1}},
      {"prctl", "PR_SET_DUMPABLE", {4}},
      {"prctl", "PR_SET_NAME", {15}},
      {"prctl", "PR_SET_SECCOMP", {22}},
      {"prctl", "PR_SET_SECCOMP, high bits", {kHighBits | 22}},
      {"prctl", "PR_CAPBSET_DROP", {24}},
      {"prctl", "PR_SET_MM", {35}},
      {"prctl", "PR_SET_CHILD_SUBREAPER", {36}},
      {"prctl", "PR_SET_NO_NEW_PRIVS", {38}},
      {"prctl", "PR_CAP_AMBIENT", {47}},
      {"prctl", "PR_SET_PTRACER", {0x59616d61}},
      {"prctl", "PR_SET_VMA", {0x53564d41}},
      {"socket", "AF_UNIX", {1}},
      {"socket", "AF_INET", {2}},
      {"socket", "AF_INET6", {10}},
      {"socket", "AF_NETLINK", {16}},
      {"socket", "AF_PACKET", {17}},
      {"socket", "AF_VSOCK", {40}},
      {"socketpair", "AF_UNIX", {1}},
      {"socketpair", "AF_UNIX, high bits", {kHighBits | 1}},
      {"socketpair", "AF_INET", {2}},
      {"socketpair", "AF_TIPC", {30}},
      {"sendto", "no address", {3, 1, 1, 0, 0, 0}},
      {"sendto", "an address", {3, 1, 1, 0, 0x7fff00000000, 16}},
      {"prlimit64", "read", {0, 7, 0}},
      {"prlimit64", "set", {0, 7, 0x1000}},
      {"prlimit64", "set, from high memory", {0, 7, 0x7fff00000000}},
      {"arch_prctl", "ARCH_SET_GS", {0x1001}},
      {"arch_prctl", "ARCH_SET_FS", {0x1002}},
      {"arch_prctl", "ARCH_SET_CPUID", {0x1012}},
      {"arch_prctl", "ARCH_SHSTK_DISABLE", {0x5002}},
      {"madvise", "MADV_DONTNEED", {0, 0, 4}},
      {"madvise", "MADV_MERGEABLE", {0, 0, 12}},
      {"madvise", "MADV_HUGEPAGE", {0, 0, 14}},
      {"madvise", "MADV_POPULATE_WRITE", {0, 0, 23}},
      {"madvise", "MADV_HWPOISON", {0, 0, 100}},
      {"madvise", "MADV_SOFT_OFFLINE", {0, 0, 101}},
      {"mmap", "PROT_READ|PROT_WRITE anonymous", {0, 4096, 3, 0x22}},
      {"mmap", "PROT_READ|PROT_EXEC of a file", {0, 4096, 5, 2}},
      {"mmap", "PROT_READ|PROT_EXEC anonymous", {0, 4096, 5, 0x22}},
      {"mmap", "PROT_WRITE|PROT_EXEC of a file", {0, 4096, 6, 1}},
      {"mmap", "PROT_READ|PROT_WRITE|PROT_EXEC anonymous", {0, 4096, 7, 0x22}},
      {"mmap", "PROT_READ|PROT_WRITE|PROT_EXEC, high bits", {0, 4096, kHighBits | 7, 0x22}},
      {"mprotect", "PROT_NONE", {0, 4096, 0}},
      {"mprotect", "PROT_READ|PROT_WRITE", {0, 4096, 3}},
      {"mprotect", "PROT_READ|PROT_EXEC", {0, 4096, 5}},
      {"mprotect", "PROT_READ|PROT_WRITE|PROT_EXEC", {0, 4096, 7}},
      {"mprotect", "PROT_EXEC, high bits", {0, 4096, kHighBits | 4}},
      {"pkey_mprotect", "PROT_READ|PROT_WRITE|PROT_EXEC", {0, 4096, 7, ~std::uint64_t{0}}},
  };
  return probes;
}

std::string Verdict(std::string_view bpf, std::uint32_t arch, int number,
                    const SystemCallArguments& arguments) {
  seccomp_data call{.nr = number, .arch = arch, .instruction_pointer = 0x7f0000001000, .args = {}};
  for (std::size_t i = 0; i < arguments.size(); ++i) call.args[i] = arguments[i];
  absl::StatusOr<std::uint32_t> answer = RunSeccompFilter(bpf, call);
  if (!answer.ok()) return std::string(answer.status().message());
  const int data = static_cast<int>(*answer & SECCOMP_RET_DATA);
  switch (*answer & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
      return "allow";
    case SECCOMP_RET_ERRNO:
      return base::StrCat("errno:", base::ErrnoName(data));
    case SECCOMP_RET_USER_NOTIF:
      return "notify";
    case SECCOMP_RET_KILL_PROCESS:
      return "kill";
    default:
      return "something else";
  }
}

std::string Golden(std::string_view bpf) {
  std::string text =
      "# What the filter answers: every number without arguments, then chosen arguments, then "
      "other\n"
      "# architectures. seccomp_golden_test.cc says how to write this file anew.\n";
  for (int number = 0; number <= kNumberLast; ++number) {
    text += base::StrCat(number, " ", SystemCallName(number), " ",
                         Verdict(bpf, AUDIT_ARCH_X86_64, number, {}), "\n");
  }
  for (const Probe& probe : Probes()) {
    const int number = seccomp_syscall_resolve_name(std::string(probe.call).c_str());
    text += base::StrCat(probe.call, "(", probe.label, ") ",
                         Verdict(bpf, AUDIT_ARCH_X86_64, number, probe.arguments), "\n");
  }
  for (int number : {0, 1, 3, 11, 59, 520}) {
    text += base::StrCat("i386 ", number, " ", Verdict(bpf, AUDIT_ARCH_I386, number, {}), "\n");
    text += base::StrCat("x32 ", number, " ",
                         Verdict(bpf, AUDIT_ARCH_X86_64, 0x40000000 + number, {}), "\n");
  }
  text += base::StrCat("aarch64 63 ", Verdict(bpf, AUDIT_ARCH_AARCH64, 63, {}), "\n");
  return text;
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string Difference(std::string_view golden, std::string_view now) {
  const std::vector<std::string_view> before = Lines(golden), after = Lines(now);
  std::string difference;
  for (std::size_t i = 0; i < std::max(before.size(), after.size()); ++i) {
    const std::string_view was = i < before.size() ? before[i] : "";
    const std::string_view is = i < after.size() ? after[i] : "";
    if (was != is) difference += base::StrCat("- ", was, "\n+ ", is, "\n");
  }
  return difference;
}

struct Combination {
  std::string_view name;
  SeccompProfile profile;
  ExecMemory exec_memory;
};

class SeccompGoldenTest : public testing::TestWithParam<Combination> {};

TEST_P(SeccompGoldenTest, EveryVerdictIsTheReviewedOne) {
  auto program = CompileSeccompPolicy(GetParam().profile, GetParam().exec_memory);
  ASSERT_TRUE(program.ok()) << program.status();
  const std::filesystem::path path =
      base::StrCat(NCN_SOURCE_DIR, "/tests/golden/seccomp_", GetParam().name, ".txt");
  const std::string now = Golden((*program)->bpf);
  if (std::getenv("NCN_REGENERATE_GOLDEN") != nullptr) {
    absl::Status written = base::WriteFileAtomically(path, now, 0644);
    ASSERT_TRUE(written.ok()) << written;
  }
  auto golden = base::ReadFile(path, 1 << 20);
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_TRUE(*golden == now) << "- " << path << "\n+ this build\n" << Difference(*golden, now);
}

INSTANTIATE_TEST_SUITE_P(
    Policies, SeccompGoldenTest,
    testing::Values(Combination{"python_jit", SeccompProfile::kPython, ExecMemory::kJit},
                    Combination{"python_denied", SeccompProfile::kPython, ExecMemory::kDenied},
                    Combination{"native_jit", SeccompProfile::kNative, ExecMemory::kJit},
                    Combination{"native_denied", SeccompProfile::kNative, ExecMemory::kDenied},
                    Combination{"zygote_jit", SeccompProfile::kZygote, ExecMemory::kJit}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ncn::sandbox
