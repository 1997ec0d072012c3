#include "config/machine.h"

#include <unistd.h>

#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace ncn::config {
namespace {

constexpr Machine kDesk{.cores = 8, .memory_mb = 32'000};

TEST(SlotsForTest, OneForEachCoreAsFarAsMemoryGoes) {
  EXPECT_EQ(SlotsFor(kDesk, 0, 1024), 8u);
  EXPECT_EQ(SlotsFor(kDesk, 0, 4096), 7u);
  EXPECT_EQ(SlotsFor(kDesk, 0, 16'000), 2u);
  EXPECT_EQ(SlotsFor(kDesk, 0, 64'000), 1u);
  EXPECT_EQ(SlotsFor({.cores = 2, .memory_mb = 0}, 0, 4096), 2u);  // Nobody says.
  EXPECT_EQ(SlotsFor({.cores = 0, .memory_mb = 100}, 0, 0), 1u);
}

TEST(SlotsForTest, TheOperatorKnowsBetter) {
  EXPECT_EQ(SlotsFor(kDesk, 3, 64'000), 3u);
  EXPECT_EQ(SlotsFor(kDesk, 100, 1), 100u);
}

TEST(ThreadsForTest, TheCoresAreSharedOutAmongTheSlots) {
  EXPECT_EQ(ThreadsFor(kDesk, 0, 8), 1u);
  EXPECT_EQ(ThreadsFor(kDesk, 0, 2), 4u);
  EXPECT_EQ(ThreadsFor(kDesk, 0, 3), 2u);
  EXPECT_EQ(ThreadsFor(kDesk, 0, 100), 1u);
  EXPECT_EQ(ThreadsFor(kDesk, 5, 8), 5u);
  EXPECT_EQ(ThreadsFor(kDesk, 0, 0), 8u);
}

// A machine of files.
class ThisMachineTest : public testing::Test {
 public:
  ~ThisMachineTest() override { std::filesystem::remove_all(root_); }

 protected:
  ThisMachineTest() {
    std::string name = testing::TempDir() + "machine.XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    Write("proc/meminfo", "MemFree: 1 kB\nMemTotal:       8388608 kB\nSwapTotal: 9 kB\n");
  }
  void Write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  std::uint64_t MemoryMb() const { return ThisMachine(root_).memory_mb; }

  std::filesystem::path root_;
};

TEST_F(ThisMachineTest, HasTheMemoryThatTheKernelCounts) {
  EXPECT_EQ(MemoryMb(), 8192u);
  Write("proc/meminfo", "nothing of use");
  EXPECT_EQ(MemoryMb(), 0u);
  EXPECT_GE(ThisMachine().cores, 1u);
  EXPECT_GT(ThisMachine().memory_mb, 0u);
}

TEST_F(ThisMachineTest, HasNoMoreThanItsControlGroupsAllow) {
  Write("proc/self/cgroup", "0::/system.slice/node.service\n");
  Write("sys/fs/cgroup/system.slice/node.service/memory.max", "max\n");
  EXPECT_EQ(MemoryMb(), 8192u);
  Write("sys/fs/cgroup/system.slice/memory.max", "2147483648\n");
  EXPECT_EQ(MemoryMb(), 2048u);
  Write("sys/fs/cgroup/system.slice/node.service/memory.max", "1073741824\n");
  EXPECT_EQ(MemoryMb(), 1024u);
}

TEST_F(ThisMachineTest, HasNoMoreThanItsContainerWhichSeesItselfAsTheTop) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "536870912\n");
  EXPECT_EQ(MemoryMb(), 512u);
}

TEST_F(ThisMachineTest, HeedsTheFirstVersionOfControlGroupsToo) {
  Write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\nnonsense\n0::/\n");
  Write("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(MemoryMb(), 8192u);
  Write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "268435456\n");
  EXPECT_EQ(MemoryMb(), 256u);
}

}  // namespace
}  // namespace ncn::config
