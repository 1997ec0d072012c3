// Landlock as older kernels have it: less is restricted then, but never nothing.

#include "sandbox/landlock.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

constexpr int kReadsUsr = 1, kReadsEtc = 2, kWrites = 4, kTruncates = 8, kConnects = 16,
              kSignals = 32, kRefused = 64;
constexpr int kTruncateAbi = 3, kNetworkAbi = 4, kScopeAbi = 6;

// Everything but a refusal by Landlock.
bool Allowed(int result) { return result >= 0 || (errno != EACCES && errno != EPERM); }

bool Opens(const char* path, int flags) {
  const base::UniqueFd fd(::open(path, flags | O_CLOEXEC));
  return fd.get() >= 0;
}

// What a process may still do that confined itself to /usr, under one ABI.
int Try(int abi, const std::vector<LandlockPath>& paths, const std::string& file) {
  std::string_view failed;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return kRefused;
  if (RestrictWithLandlock(abi, paths, failed) != 0) return kRefused;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(1);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int done = 0;
  if (Opens("/usr/bin/true", O_RDONLY)) done |= kReadsUsr;
  if (Opens("/etc/passwd", O_RDONLY)) done |= kReadsEtc;
  if (Opens(file.c_str(), O_WRONLY)) done |= kWrites;
  if (::truncate(file.c_str(), 1) == 0) done |= kTruncates;
  if (Allowed(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)))) {
    done |= kConnects;
  }
  if (::kill(::getppid(), 0) == 0) done |= kSignals;
  return done;
}

class LandlockTest : public ::testing::TestWithParam<int> {};

TEST_P(LandlockTest, RestrictsWhatItsAbiCanAndNoneIsAFailure) {
  const int abi = GetParam();
  if (abi > LandlockAbi()) GTEST_SKIP() << "this kernel has ABI " << LandlockAbi();
  ScratchFolder folder;
  const std::string file = folder.path() + "/file";
  ASSERT_TRUE(base::WriteFileAtomically(file, "contents", 0644).ok());
  const std::vector<LandlockPath> paths = {{"/usr", LandlockAccess::kExecute}};
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(Try(abi, paths, file));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  int wanted = kReadsUsr;
  if (abi < kTruncateAbi) wanted |= kTruncates;
  if (abi < kNetworkAbi) wanted |= kConnects;
  if (abi < kScopeAbi) wanted |= kSignals;
  EXPECT_EQ(WEXITSTATUS(status), abi == 0 ? kRefused : wanted);
}

INSTANTIATE_TEST_SUITE_P(Abis, LandlockTest, ::testing::Range(0, 8));

}  // namespace
}  // namespace ncn::sandbox
