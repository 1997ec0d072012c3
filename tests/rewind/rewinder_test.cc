#include "rewind/rewinder.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <numeric>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rewind/self_check.h"
#include "rewind_target.h"

namespace ncn::rewind {
namespace {

using testing::HasSubstr;

constexpr std::size_t kPage = 4096, kPages = 4096;
unsigned char* area;
unsigned char counter = 0;
std::atomic<std::uint64_t> spinning;

void MakeArea() {
  area = static_cast<unsigned char*>(
      ::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (std::size_t i = 0; i < kPages; i += 2) std::memset(area + i * kPage, 1, kPage);
}

std::uint8_t Count(std::uint32_t) { return ++counter; }

TEST(RewinderTest, GivesTheSameAnswerEveryTime) {
  RewindTarget target(Count);
  ASSERT_TRUE(target.Snapshot(1).ok());
  for (int i = 0; i < 200; ++i) {
    std::uint8_t answer = 0;
    ASSERT_TRUE(target.Ask(1, &answer));
    ASSERT_EQ(answer, 1);
    const auto report = target.rewinder().Rewind();
    ASSERT_TRUE(report.ok()) << report.status();
  }
}

TEST(RewinderTest, EndsAProcessWhoseMainThreadHasEnded) {
  RewindTarget target([](std::uint32_t) -> std::uint8_t {
    std::thread([] {
      while (true) ::pause();
    }).detach();
    ::syscall(SYS_exit, 0);  // Of this thread alone.
    return 0;
  });
  ASSERT_TRUE(target.Snapshot(0).ok());
  target.Send(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(target.rewinder().Rewind().ok());
}

// Where a thread goes on that was within the loop of the snapshot when it was interrupted: it says
// that all has been copied.
asm(R"(
  .text
  .byte 0x0f, 0xb9, 0x3d
  .long 0x53053053
pretend_to_have_copied:
  mov %r14, %r15
  int3
)");
extern "C" char pretend_to_have_copied[];

struct alignas(32) Sequence {
  std::uint32_t version, flags;
  std::uint64_t start, bytes, abort;
} sequence;

// Plants a restartable sequence that is the page of the loops, if there is one.
std::uint8_t CountAndHijack(std::uint32_t question) {
  const std::uint8_t answer = ++counter;
  if (question != 7) return answer;
  FILE* const maps = std::fopen("/proc/self/maps", "r");
  char line[512];
  std::uint64_t start = 0, end = 0;
  while (maps != nullptr && std::fgets(line, sizeof(line), maps) != nullptr) {
    if (std::strstr(line, " r-xp ") != nullptr && std::strstr(line, "memfd:snapshot") != nullptr) {
      std::sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end);
    }
  }
  if (maps != nullptr) std::fclose(maps);
  if (start == 0) return 99;
  const auto abort = reinterpret_cast<std::uint64_t>(pretend_to_have_copied);
  sequence = {0, 0, start, end - start, abort};
  auto* const area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  const auto where = reinterpret_cast<std::uint64_t>(&sequence);
  std::memcpy(area + 8, &where, sizeof(where));
  return answer;
}

TEST(RewinderTest, IsNotHijackedByARestartableSequence) {
  RewindTarget target(CountAndHijack);
  ASSERT_TRUE(target.Snapshot(1).ok());
  for (int i = 0; i < 50; ++i) {
    std::uint8_t answer = 0;
    ASSERT_TRUE(target.Ask(7, &answer));
    ASSERT_EQ(answer, 1) << i;
    const auto report = target.rewinder().Rewind();
    if (!report.ok()) return;  // Discarded.
  }
}

TEST(RewinderTest, TheKernelCanDoWhatARewindNeeds) {
  const auto report = CheckKernel();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(report->pages_written + report->pages_dropped, 0);
}

TEST(RewinderTest, ReportsWhatItDid) {
  RewindTarget target(
      [](std::uint32_t question) -> std::uint8_t {
        for (std::size_t i = 0; i < question; ++i) area[i * kPage] = 9;
        return 0;
      },
      MakeArea);
  ASSERT_TRUE(target.Snapshot(10).ok());
  std::uint8_t answer = 0;
  ASSERT_TRUE(target.Ask(10, &answer));
  auto report = target.rewinder().Rewind();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->pages_dropped, 0) << "what was learned";
  EXPECT_GE(report->pages_written, 10);
  ASSERT_TRUE(target.Ask(110, &answer));
  report = target.rewinder().Rewind();
  ASSERT_TRUE(report.ok());
  EXPECT_GE(report->pages_dropped, 100);
}

// Everything that one can see of the memory of a process from outside: a line for each mapping,
// then one for the pages that are its own.
std::vector<std::string> Everything(pid_t pid) {
  const std::string layout = *ReadLayout(pid);
  std::vector<std::string> all;
  const auto mappings = *ParseLayout(layout);
  const std::string proc = "/proc/" + std::to_string(pid);
  const base::UniqueFd memory(::open((proc + "/mem").c_str(), O_RDONLY));
  const base::UniqueFd pagemap(::open((proc + "/pagemap").c_str(), O_RDONLY));
  std::vector<Range> anonymous;
  const PageScanner scanner(pagemap.get());
  for (const Mapping& mapping : mappings) {
    if (mapping.special()) continue;
    std::string bytes(mapping.range.size(), '\0');
    const ssize_t got =
        ::pread(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(mapping.range.start));
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    all.push_back(base::StrCat(mapping.range.start, "-", mapping.range.end, " ", mapping.protection,
                               " ", mapping.name, " ", std::hash<std::string>()(bytes)));
    EXPECT_TRUE(scanner.AnonymousPages(mapping.range, &anonymous).ok());
  }
  for (const Range& range : anonymous) all.push_back(base::StrCat(range.start, "-", range.end));
  return all;
}

std::uint8_t Scribble(std::uint32_t seed) {
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  const auto next = [&](std::uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
  };
  for (int i = 0; i < 60; ++i) {
    unsigned char* const at = area + next(kPages - 16) * kPage;
    const std::size_t size = (1 + next(15)) * kPage;
    switch (next(8)) {
      case 0:
        ::mprotect(at, size, static_cast<int>(next(4)) & (PROT_READ | PROT_WRITE));
        break;
      case 1:
        ::munmap(at, size);
        break;
      case 2:
        ::mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        break;
      case 3:
        ::mremap(at, size, size + kPage, MREMAP_MAYMOVE);
        break;
      case 4:
        ::madvise(at, size, MADV_DONTNEED);
        break;
      case 5:
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        break;
      default: {
        // Writes where it can: the kernel fails where it cannot.
        for (std::size_t j = 0; j < size; j += 512) {
          ::syscall(SYS_clock_getres, CLOCK_MONOTONIC, at + j);
        }
        void* const block = std::malloc(next(1 << 20) + 1);
        std::memset(block, 7, 1);
        if (next(2) == 0) std::free(block);
      }
    }
  }
  return 1;
}

// The kernel itself writes down on which one a thread runs.
void StayOnThisProcessor() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
}

TEST(RewinderTest, WhateverItDoesToItsMemoryIsUndone) {
  RewindTarget target(Scribble, [] {
    StayOnThisProcessor();
    MakeArea();
  });
  ASSERT_TRUE(target.Snapshot(99).ok());
  const auto before = Everything(target.pid());
  for (std::uint32_t seed = 100; seed < 160; ++seed) {
    std::uint8_t answer = 0;
    ASSERT_TRUE(target.Ask(seed, &answer)) << seed;
    EXPECT_NE(Everything(target.pid()), before);
    const auto report = target.rewinder().Rewind();
    ASSERT_TRUE(report.ok()) << seed << " " << report.status();
    const auto after = Everything(target.pid());
    ASSERT_EQ(after.size(), before.size()) << seed;
    for (std::size_t i = 0; i < after.size(); ++i) ASSERT_EQ(after[i], before[i]) << seed;
  }
}

std::atomic<std::uint32_t> task, done;
thread_local std::uint32_t own_count;
void MakeThreads() {
  for (int i = 0; i < 3; ++i) {
    std::thread([] {
      for (std::uint32_t seen = 0;; ++seen) {
        task.wait(seen);
        done += ++own_count;
        done.notify_all();
      }
    }).detach();
  }
}
std::uint8_t AskThreads(std::uint32_t) {
  ++task;
  task.notify_all();
  for (std::uint32_t now = done; now < 3; now = done) done.wait(now);
  return static_cast<std::uint8_t>(done.load());
}

TEST(RewinderTest, RewindsThreadsThatWait) {
  RewindTarget target(AskThreads, MakeThreads);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // They wait by then.
  const absl::Status taken = target.Snapshot(1);
  ASSERT_TRUE(taken.ok()) << taken;
  for (int i = 0; i < 100; ++i) {
    std::uint8_t answer = 0;
    ASSERT_TRUE(target.Ask(1, &answer));
    ASSERT_EQ(answer, 3) << i;
    const auto report = target.rewinder().Rewind();
    ASSERT_TRUE(report.ok()) << report.status();
  }
}

// Something in each kind of memory that a load fills.
thread_local std::uint32_t own_number = 0;
std::vector<unsigned char>* numbers = nullptr;
const void* file = nullptr;
void Load() {
  MakeArea();
  numbers = new std::vector<unsigned char>(1 << 20, 3);
  own_number = 30;
  counter = 40;
  const int program = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  file = ::mmap(nullptr, 3 * kPage, PROT_READ, MAP_PRIVATE, program, 0);
  ::close(program);
}
std::uint8_t TellOfLoad(std::uint32_t) {
  if (numbers == nullptr) return 1;
  const bool read = std::memcmp(file, "\177ELF", 4) == 0;
  return static_cast<std::uint8_t>(++counter + own_number + numbers->at(77777) + area[0] +
                                   (read ? 100 : 0));
}

TEST(RewinderTest, MakesAFurtherProcessFromASnapshot) {
  RewindTarget loaded(TellOfLoad, Load);
  ASSERT_TRUE(loaded.Snapshot(1).ok());
  for (int i = 0; i < 3; ++i) {
    RewindTarget fresh(TellOfLoad);
    const absl::Status become = fresh.Become(loaded);
    ASSERT_TRUE(become.ok()) << become;
    for (int request = 0; request < 3; ++request) {
      std::uint8_t answer = 0;
      ASSERT_TRUE(fresh.Ask(1, &answer));
      EXPECT_EQ(answer, 41 + 30 + 3 + 1 + 100);
      const auto report = fresh.rewinder().Rewind();
      ASSERT_TRUE(report.ok()) << report.status();
    }
  }
}

TEST(RewinderTest, AFurtherProcessIsPageForPageTheFirst) {
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(all), &all), 0);
  StayOnThisProcessor();
  RewindTarget loaded(TellOfLoad, Load);
  ASSERT_TRUE(loaded.Snapshot(1).ok());
  RewindTarget fresh(TellOfLoad);
  ASSERT_TRUE(fresh.Become(loaded).ok());
  const auto wanted = Everything(loaded.pid()), found = Everything(fresh.pid());
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], wanted[i]);
  ::sched_setaffinity(0, sizeof(all), &all);
}

// Pages that lie too far apart for the kernel to map one with another.
constexpr std::size_t kScattered = 200, kApart = 64 * kPage;
unsigned char* scattered = nullptr;
void Scatter() {
  scattered = static_cast<unsigned char*>(::mmap(
      nullptr, kScattered * kApart, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (std::size_t i = 0; i < kScattered; ++i) scattered[i * kApart] = 1;
}
std::uint8_t ReadScattered(std::uint32_t) {
  std::size_t sum = 0;
  for (std::size_t i = 0; i < kScattered; ++i) sum += scattered[i * kApart];
  return static_cast<std::uint8_t>(sum);
}
std::uint64_t FaultsOf(pid_t pid) {
  const std::string stat = *base::ReadFile(base::StrCat("/proc/", pid, "/stat"), 1 << 12);
  std::istringstream fields(stat.substr(stat.rfind(')')));
  std::string field;
  for (int i = 0; i < 9; ++i) fields >> field;  // From the state on.
  return std::stoull(field);
}

TEST(RewinderTest, AFurtherProcessDoesNotFaultForWhatRequestsTouch) {
  RewindTarget loaded(ReadScattered, Scatter);
  ASSERT_TRUE(loaded.Snapshot(1).ok());
  RewindTarget fresh(ReadScattered);
  ASSERT_TRUE(fresh.Become(loaded).ok());
  const std::uint64_t before = FaultsOf(fresh.pid());
  std::uint8_t answer = 0;
  ASSERT_TRUE(fresh.Ask(1, &answer));
  EXPECT_EQ(answer, kScattered);
  EXPECT_LT(FaultsOf(fresh.pid()) - before, kScattered / 4);
}

// Writes far from where requests write, and hides it from who only counts pages.
enum Hiding : std::uint32_t { kWritesNothing = 1, kHidesNothing, kForgetsAnother, kReadsZeros };
std::uint8_t HideAndSeek(std::uint32_t hiding) {
  unsigned char* const far = scattered + 150 * kApart;
  const std::uint8_t found = *far;
  scattered[0] = 7;  // As every request does.
  if (hiding == kWritesNothing) return found;
  *far = 9;
  if (hiding == kForgetsAnother) ::madvise(scattered, kPage, MADV_DONTNEED);
  if (hiding == kReadsZeros) {
    // Of the stack, where nobody has written.
    const auto below = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - 8 * kPage;
    static_cast<void>(*reinterpret_cast<const volatile char*>(below));
  }
  return found;
}

TEST(RewinderTest, FindsWhatIsWrittenWhereNoRequestHasWritten) {
  for (const Hiding hiding : {kHidesNothing, kForgetsAnother, kReadsZeros}) {
    RewindTarget target(HideAndSeek, Scatter);
    ASSERT_TRUE(target.Snapshot(kWritesNothing).ok());
    std::uint8_t answer = 0;
    for (const Hiding question : {kWritesNothing, kWritesNothing, hiding, kWritesNothing}) {
      ASSERT_TRUE(target.Ask(question, &answer));
      EXPECT_EQ(answer, 1) << hiding;
      const auto report = target.rewinder().Rewind();
      ASSERT_TRUE(report.ok()) << report.status();
    }
  }
}

std::uint8_t WriteScattered(std::uint32_t count) {
  for (std::size_t i = 0; i < count; ++i) scattered[i * kApart] = 9;
  return 0;
}

TEST(RewinderTest, LeavesNoTraceOfWhatItDoes) {
  RewindTarget target(WriteScattered, [] {
    StayOnThisProcessor();
    Scatter();
  });
  ASSERT_TRUE(target.Snapshot(1).ok());
  const auto before = Everything(target.pid());
  for (const std::uint32_t count : {1, 3, 200, 200, 1}) {
    std::uint8_t answer = 0;
    ASSERT_TRUE(target.Ask(count, &answer));
    const auto report = target.rewinder().Rewind();
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->calls, 0);
    const auto after = Everything(target.pid());
    ASSERT_EQ(after.size(), before.size()) << count;
    for (std::size_t i = 0; i < after.size(); ++i) ASSERT_EQ(after[i], before[i]) << count;
  }
}

TEST(RewinderTest, AFurtherProcessOutlivesTheFirst) {
  auto loaded = std::make_unique<RewindTarget>(TellOfLoad, Load);
  ASSERT_TRUE(loaded->Snapshot(1).ok());
  RewindTarget fresh(TellOfLoad);
  ASSERT_TRUE(fresh.Become(*loaded).ok());
  loaded.reset();
  std::uint8_t answer = 0;
  ASSERT_TRUE(fresh.Ask(1, &answer));
  EXPECT_EQ(answer, 41 + 30 + 3 + 1 + 100);
}

TEST(RewinderTest, ASnapshotOfWhatDidMoreThanFillMemoryIsNotShared) {
  RewindTarget careless(Count, [] { ::umask(0); });
  ASSERT_TRUE(careless.Snapshot(1).ok());
  EXPECT_THAT(std::string(careless.rewinder().Share().status().message()),
              HasSubstr("did more than fill memory: system call umask"));
  RewindTarget threaded(AskThreads, MakeThreads);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // They wait by then.
  ASSERT_TRUE(threaded.Snapshot(1).ok());
  EXPECT_THAT(std::string(threaded.rewinder().Share().status().message()),
              HasSubstr("system call clone3"));
  RewindTarget unlearned(Count);
  EXPECT_FALSE(unlearned.rewinder().Share().ok());
}

TEST(RewinderTest, WhatALoadLeftOpenIsNotMadeAgain) {
  RewindTarget open(Count, [] {
    if (::open("/dev/null", O_RDONLY) != 4) std::abort();
  });
  ASSERT_TRUE(open.Snapshot(1).ok());
  RewindTarget fresh(Count);
  EXPECT_THAT(std::string(fresh.Become(open).message()), HasSubstr("left descriptors open"));
}

TEST(RewinderTest, AFurtherProcessCanBeLeftToItself) {
  // Without the filter, which would fail its calls.
  RewindTarget loaded(TellOfLoad, Load);
  ASSERT_TRUE(loaded.Snapshot(1).ok());
  RewindTarget fresh(TellOfLoad, nullptr, RewindTarget::Filter::kNone);
  ASSERT_TRUE(fresh.Become(loaded).ok());
  ASSERT_TRUE(fresh.rewinder().Detach().ok());
  std::uint8_t answer = 0;
  ASSERT_TRUE(fresh.Ask(1, &answer));
  EXPECT_EQ(answer, 41 + 30 + 3 + 1 + 100);
  const auto status = base::ReadFile(base::StrCat("/proc/", fresh.pid(), "/status"), 1 << 16);
  ASSERT_TRUE(status.ok());
  EXPECT_THAT(*status, HasSubstr("TracerPid:\t0"));
}

TEST(RewinderTest, RefusesSharedMemory) {
  RewindTarget target(Count, [] {
    ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  });
  EXPECT_THAT(std::string(target.Snapshot().message()), HasSubstr("shares memory"));
}

TEST(RewinderTest, RefusesAProcessWithChildren) {
  RewindTarget target(Count, [] {
    if (::fork() == 0) {
      while (true) ::pause();
    }
  });
  EXPECT_THAT(std::string(target.Snapshot().message()), HasSubstr("child processes"));
}

TEST(RewinderTest, RefusesFilesThatCanBeWritten) {
  RewindTarget target(Count, [] { static_cast<void>(::open("/dev/null", O_RDWR)); });
  EXPECT_THAT(std::string(target.Snapshot().message()), HasSubstr("can write to /dev/null"));
}

TEST(RewinderTest, TellsWhenTheProcessIsGone) {
  RewindTarget target(Count);
  ASSERT_TRUE(target.Snapshot(1).ok());
  ::kill(target.pid(), SIGKILL);
  EXPECT_TRUE(absl::IsUnavailable(target.rewinder().Rewind().status()));
}

TEST(RewinderTest, AnEndOfTheRewinderEndsTheProcess) {
  auto target = std::make_unique<RewindTarget>(Count);
  const pid_t pid = target->pid();
  ASSERT_TRUE(target->Snapshot(1).ok());
  target.reset();
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST(RewinderTest, WhatRunsOnIsStopped) {
  RewindTarget target([](std::uint32_t question) -> std::uint8_t {
    if (question == 7) {
      const std::uint8_t early = 1;
      static_cast<void>(::write(0, &early, 1) == 1);
      while (true) ++spinning;
    }
    return ++counter;
  });
  ASSERT_TRUE(target.Snapshot(1).ok());
  std::uint8_t answer = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(target.Ask(7, &answer));
    const auto report = target.rewinder().Rewind();
    ASSERT_TRUE(report.ok()) << report.status();
    ASSERT_TRUE(target.Ask(1, &answer));
    EXPECT_EQ(answer, 1);
    ASSERT_TRUE(target.rewinder().Rewind().ok());
  }
}

}  // namespace
}  // namespace ncn::rewind
