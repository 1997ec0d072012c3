// Every attack of the table, in strict mode and, as a control, without a sandbox.

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
  }

  std::string Fill(const std::string& word) const {
    if (word == "{secret}") return path("secret");
    if (word == "{victim}") return path("victim");
    if (word == "{folder}") return folder_.path();
    if (word == "{socket}") return path("socket");
    if (word == "{abstract}") return "@ncn-attack-" + std::to_string(::getpid());
    if (word == "{pid}") return std::to_string(::getpid());
    return word;
  }

 private:
  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  void Write(const std::string& name) const {
    ASSERT_TRUE(base::WriteFileAtomically(path(name), "secret", 0644).ok());
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
};

SandboxCommand Command(const Attack& attack, const Targets& targets) {
  std::vector<std::string> words;
  for (const std::string& word : attack.words) words.push_back(targets.Fill(word));
  SandboxCommand command = Hostile(std::move(words));
  command.stream_bytes_max = 8 << 20;
  return command;
}

SandboxPolicy Policy(const Attack& attack) {
  inference::ExecutionLimits limits = TestLimits();
  if (attack.adjust != nullptr) attack.adjust(limits);
  return TestPolicy(limits);
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
  Targets targets_;
};

TEST_P(EscapeSuite, IsStoppedInStrictMode) {
  const Attack& attack = GetParam();
  const auto outcome = Strict().Run(Policy(attack), Command(attack, targets_));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  std::printf("%-34s | %-28s | %s\n", attack.name.c_str(), attack.stopped_by.c_str(),
              outcome->Describe().c_str());
  ASSERT_EQ(Name(outcome->kind), Name(attack.kind)) << outcome->Describe() << outcome->stderr_tail;
  EXPECT_FALSE(outcome->Succeeded()) << outcome->stderr_tail;
  if (attack.kind == OutcomeKind::kExited) {
    EXPECT_EQ(outcome->exit_code, 1) << outcome->stderr_tail;
    EXPECT_TRUE(AnyWord(attack.how, outcome->stderr_tail)) << outcome->stderr_tail;
  } else if (attack.kind == OutcomeKind::kViolation) {
    EXPECT_TRUE(AnyWord(attack.how, outcome->violation.name)) << outcome->violation.name;
  } else if (attack.kind == OutcomeKind::kSignalled) {
    EXPECT_TRUE(AnyWord(attack.how, outcome->Describe())) << outcome->Describe();
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
