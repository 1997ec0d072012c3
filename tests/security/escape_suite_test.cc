// Every attack of the table, in strict mode and, as a control, without a sandbox.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "attacks.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

// What attacks aim at: a secret file, a file to destroy, a folder, sockets that somebody serves.
class Targets {
 public:
  Targets() {
    Write("secret");
    Write("victim");
    Listen(path("socket"), pathname_);
    Listen("@ncn-attack-" + std::to_string(::getpid()), abstract_);
    ListenOnLoopback(SOCK_STREAM, stream_);
    ListenOnLoopback(SOCK_DGRAM, datagram_);
    EXPECT_TRUE(base::WriteFileAtomically(segment(), "secret", 0644).ok());
  }
  ~Targets() { ::unlink(segment().c_str()); }

  std::string Fill(const std::string& word) const {
    if (word == "{secret}") return path("secret");
    if (word == "{victim}") return path("victim");
    if (word == "{folder}") return folder_.path();
    if (word == "{socket}") return path("socket");
    if (word == "{abstract}") return "@ncn-attack-" + std::to_string(::getpid());
    if (word == "{segment}") return segment();
    if (word == "{port}") return Port(stream_);
    if (word == "{datagram port}") return Port(datagram_);
    if (word == "{pid}") return std::to_string(::getpid());
    if (word == "/proc/{pid}/status") return "/proc/" + std::to_string(::getpid()) + "/status";
    return word;
  }

 private:
  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  void Write(const std::string& name) const {
    ASSERT_TRUE(base::WriteFileAtomically(path(name), "secret", 0644).ok());
  }
  static std::string segment() { return "/dev/shm/ncn-attack-" + std::to_string(::getpid()); }
  static std::string Port(const base::UniqueFd& socket) {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    return std::to_string(ntohs(address.sin_port));
  }
  // On a port that the kernel chooses.
  static void ListenOnLoopback(int type, base::UniqueFd& socket) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socket.reset(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (type == SOCK_STREAM) {
      ASSERT_EQ(::listen(socket.get(), 16), 0);
    }
  }
  static void Listen(const std::string& name, base::UniqueFd& socket) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = 0;
    socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address),
                     static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
              0);
    ASSERT_EQ(::listen(socket.get(), 1024), 0);
  }

  ScratchFolder folder_;
  base::UniqueFd pathname_;
  base::UniqueFd abstract_;
  base::UniqueFd stream_;
  base::UniqueFd datagram_;
};

SandboxCommand Command(const Attack& attack, const Targets& targets) {
  std::vector<std::string> words;
  for (const std::string& word : attack.words) words.push_back(targets.Fill(word));
  SandboxCommand command = Hostile(std::move(words));
  command.stream_bytes_max = 8 << 20;
  return command;
}

SandboxPolicy Policy(const Attack& attack, SeccompProfile profile = SeccompProfile::kPython) {
  inference::ExecutionLimits limits = TestLimits();
  if (attack.adjust != nullptr) attack.adjust(limits);
  return TestPolicy(limits, profile);
}

bool AnyWord(const std::string& words, const std::string& text) {
  std::istringstream stream(words);
  for (std::string word; stream >> word;) {
    if (text.find(word) != std::string::npos) return true;
  }
  return words.empty();
}

class EscapeSuite : public ::testing::TestWithParam<Attack> {
 protected:
  void ExpectStopped(Sandbox& sandbox, OutcomeKind kind,
                     SeccompProfile profile = SeccompProfile::kPython);

  Targets targets_;
};

void EscapeSuite::ExpectStopped(Sandbox& sandbox, OutcomeKind kind, SeccompProfile profile) {
  const Attack& attack = GetParam();
  const auto outcome = sandbox.Run(Policy(attack, profile), Command(attack, targets_));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  std::printf("%-34s | %-28s | %s\n", attack.name.c_str(), attack.stopped_by.c_str(),
              outcome->Describe().c_str());
  ASSERT_EQ(Name(outcome->kind), Name(kind)) << outcome->Describe() << outcome->stderr_tail;
  EXPECT_FALSE(outcome->Succeeded()) << outcome->stderr_tail;
  if (kind == OutcomeKind::kExited) {
    EXPECT_EQ(outcome->exit_code, 1) << outcome->stderr_tail;
    EXPECT_TRUE(AnyWord(attack.how, outcome->stderr_tail)) << outcome->stderr_tail;
  } else if (kind == OutcomeKind::kViolation) {
    EXPECT_TRUE(AnyWord(attack.how, outcome->violation.name)) << outcome->violation.name;
  } else if (kind == OutcomeKind::kSignalled) {
    EXPECT_TRUE(AnyWord(attack.how, outcome->Describe())) << outcome->Describe();
  }
}

TEST_P(EscapeSuite, IsStoppedInStrictMode) { ExpectStopped(Strict(), GetParam().kind); }

TEST_P(EscapeSuite, IsStoppedInAChildOfAZygote) {
  const Attack::AsPid1 as_pid_1 = GetParam().as_pid_1;
  if (as_pid_1 == Attack::AsPid1::kNone) return;
  ExpectStopped(OnZygote(),
                as_pid_1 == Attack::AsPid1::kOther ? OutcomeKind::kExited : GetParam().kind);
}

TEST_P(EscapeSuite, IsStoppedUnderTheNativeProfileInAChildOfAZygote) {
  const Attack::AsPid1 as_pid_1 = GetParam().as_pid_1;
  if (as_pid_1 == Attack::AsPid1::kNone) return;
  ExpectStopped(OnZygote(),
                as_pid_1 == Attack::AsPid1::kOther ? OutcomeKind::kExited : GetParam().kind,
                SeccompProfile::kNative);
}

// Where permissive mode finds no namespaces, what is stopped by seccomp is stopped all the same.
TEST_P(EscapeSuite, IsStoppedBySeccompWithoutNamespaces) {
  const Attack& attack = GetParam();
  if (attack.stopped_by.rfind("seccomp", 0) != 0) return;
  Permissive().FailStepForTest(SetupStep::kPivot);
  const auto outcome = Permissive().Run(Policy(attack), Command(attack, targets_));
  Permissive().FailStepForTest(std::nullopt);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_FALSE(outcome->missing.empty());
  EXPECT_FALSE(outcome->Succeeded()) << outcome->stderr_tail;
  EXPECT_EQ(Name(outcome->kind), Name(attack.kind)) << outcome->Describe();
  const std::string& found =
      attack.kind == OutcomeKind::kViolation ? outcome->violation.name : outcome->stderr_tail;
  if (attack.kind != OutcomeKind::kSignalled) {
    EXPECT_TRUE(AnyWord(attack.how, found)) << found;
  }
}

TEST_P(EscapeSuite, WorksWhenNothingStopsIt) {
  const Attack& attack = GetParam();
  if (attack.control == Control::kSkip) return;
  if (attack.control == Control::kRunAsRoot && ::geteuid() != 0) return;
  const auto outcome = Disabled().Run(Policy(attack), Command(attack, targets_));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->Succeeded()) << outcome->Describe() << "\n" << outcome->stderr_tail;
}

std::string TestName(const ::testing::TestParamInfo<Attack>& attack) {
  std::string name;
  for (const char c : attack.param.name)
    name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return std::to_string(attack.index) + "_" + name;
}

INSTANTIATE_TEST_SUITE_P(Attacks, EscapeSuite, ::testing::ValuesIn(Attacks()), TestName);

}  // namespace
}  // namespace ncn::sandbox
