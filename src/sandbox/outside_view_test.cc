#include "sandbox/outside_view.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::sandbox {
namespace {

using ::testing::HasSubstr;

LaunchRequest Wanted() {
  LaunchRequest request;
  request.namespaces = CLONE_NEWUSER | CLONE_NEWNS;
  request.host_uid = request.host_gid = 65534;
  request.binds = {{"/usr", "/usr", 0, 0, true, true}, {"/m", "/model x", 0, 0, true, false}};
  return request;
}

constexpr char kStatus[] =
    "Name:\tx\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n"
    "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
    "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(OutsideViewTest, AcceptsTheStatusThatWasAskedFor) {
  EXPECT_TRUE(VerifyStatusFile(kStatus, Wanted()).ok());
}

TEST(OutsideViewTest, RefusesEveryDifferenceOfTheStatus) {
  const std::pair<const char*, const char*> changes[] = {
      {"CapEff:\t0000000000000000", "CapEff:\t0000000000000001"},
      {"CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"},
      {"CapAmb:\t0000000000000000\n", ""},
      {"NoNewPrivs:\t1", "NoNewPrivs:\t0"},
      {"Seccomp:\t2", "Seccomp:\t0"},
      {"Uid:\t65534", "Uid:\t0"},
      {"Gid:\t65534\t65534", "Gid:\t65534\t0"}};
  for (const auto& [from, to] : changes) {
    EXPECT_FALSE(VerifyStatusFile(Replaced(kStatus, from, to), Wanted()).ok()) << to;
  }
  EXPECT_FALSE(VerifyStatusFile("", Wanted()).ok());
}

constexpr char kMounts[] =
    "1 0 0:1 / / ro,nosuid,nodev,relatime - tmpfs tmpfs rw\n"
    "2 1 8:1 /usr /usr ro,nosuid,nodev - ext4 /dev/sda rw\n"
    "3 1 8:1 /m /model\\040x ro,nosuid,nodev,noexec - ext4 /dev/sda rw\n"
    "4 1 0:2 / /proc ro,nosuid,nodev,noexec - proc proc rw\n"
    "5 1 0:3 /work /work rw,nosuid,nodev,noexec - tmpfs tmpfs rw\n"
    "6 1 0:3 /tmp /tmp rw,nosuid,nodev,noexec - tmpfs tmpfs rw\n"
    "7 1 0:3 /shm /dev/shm rw,nosuid,nodev,noexec - tmpfs tmpfs rw\n"
    "8 1 0:5 /null /dev/null rw,nosuid,noexec - devtmpfs x rw\n"
    "9 1 0:5 /zero /dev/zero rw,nosuid,noexec - devtmpfs x rw\n"
    "10 1 0:5 /full /dev/full rw,nosuid,noexec - devtmpfs x rw\n"
    "11 1 0:5 /random /dev/random rw,nosuid,noexec - devtmpfs x rw\n"
    "12 1 0:5 /urandom /dev/urandom rw,nosuid,noexec - devtmpfs x rw\n";

TEST(OutsideViewTest, AcceptsExactlyTheMountsThatWereAskedFor) {
  const absl::Status status = VerifyMounts(kMounts, Wanted());
  EXPECT_TRUE(status.ok()) << status;
  // What the host has mounted below a source comes along, read-only.
  EXPECT_TRUE(VerifyMounts(std::string(kMounts) +
                               "13 2 0:6 / /usr/local ro,nosuid,nodev - ext4 /dev/sdb rw\n",
                           Wanted())
                  .ok());
}

TEST(OutsideViewTest, RefusesEveryDifferenceOfTheMounts) {
  const std::pair<const char*, const char*> changes[] = {
      {"/ / ro", "/ / rw"},
      {"/usr ro", "/usr rw"},
      {"/model\\040x ro,nosuid,nodev,noexec", "/model\\040x ro,nosuid,nodev"},
      {"/proc ro", "/proc rw"},
      {"/work rw,nosuid", "/work rw"},
      {"12 1 0:5 /urandom /dev/urandom rw,nosuid,noexec - devtmpfs x rw\n", ""}};
  for (const auto& [from, to] : changes) {
    EXPECT_FALSE(VerifyMounts(Replaced(kMounts, from, to), Wanted()).ok()) << to;
  }
  for (const char* more : {"13 1 8:1 / /old ro,nosuid,nodev - ext4 x rw\n",
                           "13 1 8:1 / /work rw,nosuid,nodev,noexec - ext4 x rw\n",
                           "13 2 8:1 / /usr/local rw,nosuid,nodev - ext4 x rw\n",
                           "13 1 0:5 / /dev/sda rw,nosuid,noexec - devtmpfs x rw\n"}) {
    EXPECT_FALSE(VerifyMounts(std::string(kMounts) + more, Wanted()).ok()) << more;
  }
}

TEST(OutsideViewTest, RefusesOtherRlimits) {
  LaunchRequest request = Wanted();
  request.rlimits = {{RLIMIT_CPU, 5, 6}, {RLIMIT_CORE, 0, 0}};
  const std::string limits =
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max cpu time              5                    6                    seconds   \n"
      "Max core file size        0                    0                    bytes     \n";
  EXPECT_TRUE(VerifyRlimits(limits, request).ok());
  EXPECT_FALSE(VerifyRlimits(Replaced(limits, "6 ", "unlimited "), request).ok());
  EXPECT_FALSE(VerifyRlimits("", request).ok());
}

TEST(OutsideViewTest, FindsThatAnUnconfinedProcessIsNot) {
  const absl::Status status = VerifyFromOutside(::getpid(), Wanted(), nullptr);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("seen from outside"));
}

}  // namespace
}  // namespace ncn::sandbox
