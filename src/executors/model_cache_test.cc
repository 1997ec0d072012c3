#include "executors/model_cache.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <utility>

#include "base/fake_clock.h"
#include "base/synchronized.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::executors {
namespace {

using inference::Failure;
using inference::FailureKind;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Made = absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, Failure>>;

// The machine's clock, which a test can put forward.
class LeapingClock final : public base::Clock {
 public:
  base::SteadyTime SteadyNow() const override {
    return base::Clock::System().SteadyNow() + Leapt();
  }
  std::chrono::system_clock::time_point WallNow() const override {
    return base::Clock::System().WallNow() + Leapt();
  }
  void Leap(milliseconds by) { leapt_ms_ += by.count(); }

 private:
  milliseconds Leapt() const { return milliseconds(leapt_ms_.load()); }
  std::atomic<std::int64_t> leapt_ms_ = 0;
};

struct Counts {
  std::atomic<int> made = 0, alive = 0, rewound = 0;
  std::atomic<bool> can_rewind = true;
  std::atomic<bool> immortal = false;  // None can be buried.
};

class FakeChild final : public ReadyChild {
 public:
  explicit FakeChild(Counts& counts, base::SteadyTime ready_since = {}, int pid = ::getpid())
      : counts_(counts), number_(counts.made), ready_since_(ready_since), pid_(pid) {
    ++counts_.made;
    ++counts_.alive;
  }
  ~FakeChild() override {
    while (counts_.immortal) std::this_thread::yield();
    --counts_.alive;
  }
  std::variant<ExecutorAnswer, Failure> Answer(const inference::InferenceRequest&, base::SteadyTime,
                                               base::SteadyTime, std::stop_token,
                                               const inference::OnProgress&) override {
    ++answered_;
    return ExecutorAnswer{};
  }
  void Kill() override { killed_ = true; }
  void Crash() { crashed_ = killed_ = true; }
  bool usable() const override { return !killed_; }
  bool crashed() const override { return crashed_; }
  int pid() const override { return pid_; }
  std::uint32_t answered() const override { return answered_; }
  base::SteadyTime ready_since() const override { return ready_since_; }
  std::chrono::microseconds cpu_time() const override { return {}; }
  absl::Status Rewind() override {
    ++counts_.rewound;
    return counts_.can_rewind ? absl::OkStatus() : absl::FailedPreconditionError("a thread");
  }
  sandbox::ResourceUsage UsageOfAnswer() const override { return {}; }
  std::vector<std::string> layers() const override { return {}; }
  std::vector<std::string> missing() const override { return {}; }
  int number() const { return number_; }

 private:
  Counts& counts_;
  const int number_;
  const base::SteadyTime ready_since_;
  const int pid_;
  std::uint32_t answered_ = 0;
  std::atomic<bool> killed_ = false, crashed_ = false;
};

// A process that maps a file, and holds more memory of its own when it is told to.
class MappingProcess {
 public:
  MappingProcess(const std::string& file, std::size_t bytes) {
    int to[2], from[2];
    EXPECT_EQ(::pipe2(to, O_CLOEXEC) | ::pipe2(from, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) Run(file.c_str(), bytes, to[0], from[1], to[1]);
    ::close(to[0]);
    ::close(from[1]);
    orders_ = base::UniqueFd(to[1]);
    answers_ = base::UniqueFd(from[0]);
    Await();
  }
  ~MappingProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  int pid() const { return pid_; }
  // Once more as many bytes.
  void Grow() {
    EXPECT_EQ(::write(orders_.get(), "g", 1), 1);
    Await();
  }

 private:
  // Behind the back of sanitizers, which have memory of their own for each byte.
  [[noreturn]] __attribute__((no_sanitize("address", "thread"))) static void Run(
      const char* file, std::size_t bytes, int orders, int answers, int others) {
    ::close(others);
    const int fd = ::open(file, O_RDONLY | O_CLOEXEC);
    const volatile char* const map = Map(bytes, PROT_READ, MAP_PRIVATE, fd);
    volatile char sum = 0;
    for (std::size_t i = 0; i < bytes; i += 4096) sum = static_cast<char>(sum + map[i]);
    char order = 0;
    do {
      if (order == 'g') {
        volatile char* const more =
            Map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        for (std::size_t i = 0; i < bytes; i += 4096) more[i] = 1;
      }
    } while (::write(answers, "x", 1) == 1 && ::read(orders, &order, 1) == 1);
    ::_exit(0);
  }
  __attribute__((no_sanitize("address", "thread"))) static volatile char* Map(std::size_t bytes,
                                                                              int protection,
                                                                              int flags, int fd) {
    const long at = ::syscall(SYS_mmap, nullptr, bytes, protection, flags, fd, 0);
    return reinterpret_cast<volatile char*>(at);  // NOLINT(performance-no-int-to-ptr)
  }
  void Await() {
    char answer = 0;
    EXPECT_EQ(::read(answers_.get(), &answer, 1), 1);
  }

  int pid_ = -1;
  base::UniqueFd orders_, answers_;
};

class ModelCacheTest : public ::testing::Test {
 protected:
  Recipe Good(const std::string& model, const std::string& version = "1",
              milliseconds time = milliseconds(0)) {
    return {.model = model,
            .executor = "",
            .version = version,
            .policy_hash = "",
            .make = [this, time](Preparation, std::stop_token) -> Made {
              std::this_thread::sleep_for(time);
              return std::make_unique<FakeChild>(counts_, clock_.SteadyNow());
            }};
  }
  // Its load goes on until the cache ends.
  static Recipe Hanging(const std::string& model) {
    return {.model = model,
            .executor = "",
            .version = "1",
            .policy_hash = "",
            .make = [](Preparation, std::stop_token stop) -> Made {
              std::mutex mutex;
              std::unique_lock lock(mutex);
              std::condition_variable_any stopped;
              stopped.wait(lock, stop, [] { return false; });
              return absl::CancelledError("stopped");
            }};
  }
  ModelCache::Lent Borrow(ModelCache& cache, const Recipe& recipe, const std::string& tenant = "",
                          std::chrono::milliseconds time = seconds(30)) {
    return cache.Borrow(recipe, tenant, std::chrono::steady_clock::now() + time, {});
  }
  static int NumberOf(const ReadyChild& child) {
    return dynamic_cast<const FakeChild&>(child).number();
  }
  static void Ask(ReadyChild& child) {
    const inference::InferenceRequest request{.id = *inference::RequestId::Parse("r"),
                                              .model = *inference::ModelId::Parse("m"),
                                              .input = {}};
    (void)child.Answer(request, {}, base::SteadyTime::max(), {}, {});
  }
  static std::unique_ptr<ReadyChild> Take(ModelCache::Lent lent) {
    EXPECT_TRUE(lent.ok()) << lent.status();
    return std::get<std::unique_ptr<ReadyChild>>(*std::move(lent));
  }
  // Waits for what builders bring about.
  template <typename F>
  static bool Eventually(F&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }
  static CacheEntry EntryOf(const ModelCache& cache, const std::string& model) {
    for (const CacheEntry& entry : cache.Entries()) {
      if (entry.model == model) return entry;
    }
    return {};
  }

  Counts counts_;
  LeapingClock clock_;
};

TEST_F(ModelCacheTest, MakesTheNextOneAheadAndNeverLendsOneTwice) {
  ModelCache cache({}, clock_);
  std::set<int> seen;
  for (int i = 0; i < 20; ++i) {
    auto child = Take(Borrow(cache, Good("m")));
    EXPECT_TRUE(seen.insert(NumberOf(*child)).second);
    cache.Return(std::move(child), Good("m"));
  }
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready >= 1; }));
  EXPECT_EQ(EntryOf(cache, "m").state, CacheState::kReady);
}

TEST_F(ModelCacheTest, LeavesNothingAliveAtItsEnd) {
  {
    ModelCache cache({}, clock_);
    cache.Preload(Good("a"));
    cache.Return(Take(Borrow(cache, Good("b"))), Good("b"));
  }
  EXPECT_EQ(counts_.alive, 0);
}

TEST_F(ModelCacheTest, ATenantMeetsItsOwnChildAgainAndNobodyElseDoes) {
  ModelCache cache({}, clock_);
  auto child = Take(Borrow(cache, Good("m"), "alice"));
  const int number = NumberOf(*child);
  cache.Return(std::move(child), Good("m"), "alice");
  auto others = Take(Borrow(cache, Good("m"), "bob"));
  EXPECT_NE(NumberOf(*others), number);
  auto nobodys = Take(Borrow(cache, Good("m")));
  EXPECT_NE(NumberOf(*nobodys), number);
  auto again = Take(Borrow(cache, Good("m"), "alice"));
  EXPECT_EQ(NumberOf(*again), number);
  for (auto* c : {&others, &nobodys, &again}) cache.Return(std::move(*c), Good("m"));
}

TEST_F(ModelCacheTest, ATenantsChildServesSoManyRequestsAndNoMore) {
  ModelCache cache({.reuse_requests_max = 3}, clock_);
  std::map<int, int> served;
  for (int i = 0; i < 9; ++i) {
    auto child = Take(Borrow(cache, Good("m"), "alice"));
    Ask(*child);
    ++served[NumberOf(*child)];
    cache.Return(std::move(child), Good("m"), "alice");
  }
  EXPECT_THAT(served, testing::SizeIs(3));
  EXPECT_THAT(served, testing::Each(testing::Pair(testing::_, 3)));
}

TEST_F(ModelCacheTest, ATenantsChildServesSoLongAndNoLonger) {
  ModelCache cache(
      {.time_to_live = std::chrono::hours(24), .reuse_time_max = std::chrono::minutes(10)}, clock_);
  auto child = Take(Borrow(cache, Good("m"), "alice"));
  const int number = NumberOf(*child);
  cache.Return(std::move(child), Good("m"), "alice");
  clock_.Leap(std::chrono::minutes(9));
  child = Take(Borrow(cache, Good("m"), "alice"));
  EXPECT_EQ(NumberOf(*child), number);
  cache.Return(std::move(child), Good("m"), "alice");
  // It has waited for the rest of its time: whether asked for or swept, it does not come back.
  clock_.Leap(std::chrono::minutes(1));
  child = Take(Borrow(cache, Good("m"), "alice"));
  EXPECT_NE(NumberOf(*child), number);
  clock_.Leap(std::chrono::minutes(11));
  cache.Return(std::move(child), Good("m"), "alice");  // Its time ended under the request.
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 1; }));
}

TEST_F(ModelCacheTest, ATenantsChildGoesAtTheEndOfItsTimeEvenIfNobodyAsks) {
  ModelCache cache({.time_to_live = std::chrono::hours(24)}, clock_);
  cache.Return(Take(Borrow(cache, Good("m"), "alice")), Good("m"), "alice");
  cache.Return(Take(Borrow(cache, Good("m"), "bob")), Good("m"), "bob");
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 3; }));
  clock_.Leap(std::chrono::minutes(10));
  // The third is nobody's yet, so its time has not begun.
  EXPECT_TRUE(Eventually([&] { return counts_.alive == 1; }));
  EXPECT_EQ(EntryOf(cache, "m").ready, 1u);
}

TEST_F(ModelCacheTest, ATenantThatReturnsTakesThePlaceOfTheOneThatIsLongestGone) {
  ModelCache cache({.children_max = 3}, clock_);
  std::map<std::string, std::unique_ptr<ReadyChild>> children;
  std::map<std::string, int> numbers;
  for (const char* tenant : {"alice", "bob", "carol"}) {
    children[tenant] = Take(Borrow(cache, Good("m"), tenant));
    numbers[tenant] = NumberOf(*children[tenant]);
  }
  cache.Return(std::move(children["alice"]), Good("m"), "alice");
  // With the one for whoever comes next, the pool is full when two have returned.
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 2; }));
  cache.Return(std::move(children["bob"]), Good("m"), "bob");
  cache.Return(std::move(children["carol"]), Good("m"), "carol");
  for (const char* tenant : {"carol", "bob"}) {
    auto child = Take(Borrow(cache, Good("m"), tenant));
    EXPECT_EQ(NumberOf(*child), numbers[tenant]) << tenant;
    cache.Return(std::move(child), Good("m"), tenant);
  }
  auto child = Take(Borrow(cache, Good("m"), "alice"));
  EXPECT_NE(NumberOf(*child), numbers["alice"]);
  cache.Return(std::move(child), Good("m"), "alice");
}

TEST_F(ModelCacheTest, AFailureIsTheModelsOwnAndIsNotTriedAtOnceAgain) {
  ModelCache cache({}, clock_);
  std::atomic<int> tries = 0;
  const Recipe bad{.model = "bad",
                   .version = "1",
                   .policy_hash = "",
                   .make = [&](Preparation, std::stop_token) -> Made {
                     ++tries;
                     return Failure{FailureKind::kModelInvalid, "no good", ""};
                   }};
  for (int i = 0; i < 5; ++i) {
    const auto lent = Borrow(cache, bad);
    ASSERT_TRUE(lent.ok());
    EXPECT_EQ(std::get<Failure>(*lent).message, "no good");
  }
  EXPECT_EQ(tries, 1);
  const CacheEntry entry = EntryOf(cache, "bad");
  EXPECT_EQ(entry.state, CacheState::kQuarantined);
  EXPECT_EQ(entry.reason, "no good");
  EXPECT_GT(entry.retry_after.count(), 0);
  // A corrected file is another version.
  Recipe corrected = Good("bad", "2");
  cache.Return(Take(Borrow(cache, corrected)), Good("bad"));
}

TEST_F(ModelCacheTest, AModelThatIsToStayIsTriedAgainWithoutARequest) {
  std::map<std::string, std::atomic<int>> tries;
  ModelCache cache({.pinned = {"kept"}}, clock_);
  for (const char* model : {"kept", "preloaded"}) {
    std::atomic<int>& tried = tries[model];
    Recipe recipe = Good(model);
    recipe.make = [this, &tried](Preparation, std::stop_token) -> Made {
      if (++tried <= 2) return Failure{FailureKind::kModelInvalid, "no good", ""};
      return std::make_unique<FakeChild>(counts_, clock_.SteadyNow());
    };
    cache.Preload(recipe);
    ASSERT_TRUE(
        Eventually([&] { return EntryOf(cache, model).state == CacheState::kQuarantined; }));
  }
  clock_.Leap(seconds(2));
  EXPECT_TRUE(Eventually([&] { return tries["kept"] == 2 && tries["preloaded"] == 2; }));
  clock_.Leap(seconds(3));  // The pause has doubled.
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "kept").ready == 1; }));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "preloaded").ready == 1; }));
}

TEST_F(ModelCacheTest, AModelThatHadToGoComesBackOnlyWhenSomebodyAsksForIt) {
  ModelCache cache({.memory_bytes = 1}, clock_);
  // One that is tried again by each sweep tells that there was one.
  std::atomic<int> sweeps = 0;
  Recipe witness = Good("witness");
  witness.make = [&](Preparation, std::stop_token) -> Made {
    ++sweeps;
    return absl::UnavailableError("no zygote");
  };
  cache.Preload(witness);
  for (const char* model : {"first", "second"}) {
    cache.Preload(Good(model));
    ASSERT_TRUE(Eventually([&] { return EntryOf(cache, model).ready == 1; }));
  }
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "first").ready == 0; }));
  const int seen = sweeps;
  EXPECT_TRUE(Eventually([&] { return sweeps >= seen + 2; }));
  EXPECT_EQ(counts_.made, 2);
  cache.Return(Take(Borrow(cache, Good("first"))), Good("first"));
}

TEST_F(ModelCacheTest, ChildrenThatEndBeforeTheirFirstRequestAreACrashLoop) {
  ModelCache cache({.time_to_live = std::chrono::hours(24)}, clock_);
  std::atomic<bool> dies = true;
  Recipe recipe = Good("m");
  recipe.make = [&](Preparation, std::stop_token) -> Made {
    auto child = std::make_unique<FakeChild>(counts_, clock_.SteadyNow());
    if (dies) child->Crash();
    return child;
  };
  // Whether somebody waits for one,
  const auto lent = Borrow(cache, recipe);
  ASSERT_TRUE(lent.ok()) << lent.status();
  EXPECT_EQ(std::get<Failure>(*lent).kind, FailureKind::kExecutorCrashed);
  EXPECT_EQ(counts_.made, 3);
  EXPECT_EQ(EntryOf(cache, "m").state, CacheState::kQuarantined);
  EXPECT_NE(EntryOf(cache, "m").reason, "");
  // or nobody does: the pauses grow.
  clock_.Leap(seconds(2));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").retry_after > seconds(1); }));
  dies = false;
  clock_.Leap(seconds(60));
  cache.Return(Take(Borrow(cache, recipe)), recipe);
  EXPECT_EQ(EntryOf(cache, "m").reason, "");
}

TEST_F(ModelCacheTest, ChildrenThatAreKilledAreReplacedAndTheirModelIsNotToBlame) {
  std::vector<FakeChild*> children;
  std::mutex mutex;
  Recipe recipe = Good("m");
  recipe.make = [&](Preparation, std::stop_token) -> Made {
    auto child = std::make_unique<FakeChild>(counts_, clock_.SteadyNow());
    const std::lock_guard lock(mutex);
    children.push_back(child.get());
    return child;
  };
  ModelCache cache({.children_min = 3}, clock_);
  cache.Preload(recipe);
  for (int round = 1; round <= 5; ++round) {
    ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 3; }));
    const std::lock_guard lock(mutex);
    for (FakeChild* child : std::exchange(children, {})) child->Kill();
    // The next request finds another one.
    clock_.Leap(seconds(1));
  }
  cache.Return(Take(Borrow(cache, recipe)), recipe);
  // The next one may still be loading.
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").state == CacheState::kReady; }));
}

TEST_F(ModelCacheTest, AModelIsLoadingWhileItLoadsAndEvictingUntilItIsGone) {
  {
    ModelCache cache({}, clock_);
    EXPECT_EQ(EntryOf(cache, "m").state, CacheState::kCold);
    cache.Preload(Hanging("m"));
    EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").loading == 1; }));
    EXPECT_EQ(EntryOf(cache, "m").state, CacheState::kLoading);
    clock_.Leap(seconds(3));
    EXPECT_GE(EntryOf(cache, "m").loading_for, seconds(3));
  }
  ModelCache cache({}, clock_);
  cache.Preload(Good("m"));
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 1; }));
  counts_.immortal = true;
  EXPECT_TRUE(cache.Forget("m"));
  EXPECT_EQ(EntryOf(cache, "m").state, CacheState::kEvicting);
  counts_.immortal = false;
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").state == CacheState::kCold; }));
}

TEST_F(ModelCacheTest, KeepsAsManyReadyAsAreAskedForWhileOneIsMade) {
  ModelCache cache({.children_min = 1, .children_max = 8, .builders = 1}, clock_);
  Recipe recipe = Good("m");
  std::atomic<bool> go = true;
  recipe.make = [&](Preparation, std::stop_token) -> Made {
    while (!go) std::this_thread::yield();
    clock_.Leap(milliseconds(100));  // So long a load takes.
    return std::make_unique<FakeChild>(counts_, clock_.SteadyNow());
  };
  // So many requests, all at once.
  const auto ask = [&](int count) {
    go = false;
    std::vector<std::unique_ptr<ReadyChild>> children;
    for (int i = 0; i < count; ++i) {
      auto lent = Borrow(cache, recipe, "", milliseconds(0));
      if (lent.ok()) children.push_back(Take(std::move(lent)));
    }
    for (auto& child : children) cache.Return(std::move(child), recipe);
    go = true;
  };
  cache.Return(Take(Borrow(cache, recipe)), recipe);
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 1; }));
  // A hundred in five seconds are two in a tenth of one.
  ask(100);
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 3; }));
  ask(1000);
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 8; }));
  // One more than the floor is kept, lest the next request pay for it.
  clock_.Leap(seconds(6));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 2; }));
}

TEST_F(ModelCacheTest, AnUnsupportedModelIsNoCrashLoopAndIsNotTriedAgain) {
  ModelCache cache({}, clock_);
  std::atomic<int> tries = 0;
  Recipe unsupported = Good("m");
  unsupported.executor = "native";
  unsupported.make = [&](Preparation, std::stop_token) -> Made {
    ++tries;
    return Failure{FailureKind::kModelUnsupported, "not here", ""};
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(std::get<Failure>(*Borrow(cache, unsupported)).message, "not here");
  }
  EXPECT_EQ(tries, 1);
  const CacheEntry entry = EntryOf(cache, "m");
  EXPECT_EQ(entry.state, CacheState::kCold);
  EXPECT_EQ(entry.reason, "not here");
  // Another executor's children are other children.
  Recipe other = Good("m");
  other.executor = "generic";
  cache.Return(Take(Borrow(cache, other)), other);
  EXPECT_EQ(cache.Entries().size(), 2U);
  unsupported.version = "2";
  (void)Borrow(cache, unsupported);
  EXPECT_EQ(tries, 2);
}

TEST_F(ModelCacheTest, ALoadThatHangsHoldsUpNoOtherModel) {
  for (const std::uint32_t builders : {1u, 2u}) {
    ModelCache cache({.children_min = 3, .builders = builders}, clock_);
    cache.Return(Take(Borrow(cache, Good("sound"))), Good("sound"));
    ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "sound").ready == 3; }));
    cache.Preload(Hanging("hangs"));
    EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "hangs").loading == 1; }));
    cache.Return(Take(Borrow(cache, Good("other"))), Good("other"));
    // Nor do several.
    cache.Preload(Hanging("hangs too"));
    cache.Preload(Hanging("hangs as well"));
    for (int i = 0; i < 10; ++i) {
      cache.Return(Take(Borrow(cache, Good("sound"))), Good("sound"));
    }
    EXPECT_EQ(EntryOf(cache, "hangs").loading, 1u);
  }
}

TEST_F(ModelCacheTest, ALoadThatHangsNowAndThenHoldsUpNoOtherModel) {
  ModelCache cache({.children_min = 4}, clock_);
  Recipe recipe = Hanging("m");
  recipe.make = [this, hang = recipe.make](Preparation how, std::stop_token stop) -> Made {
    if (counts_.made > 0) return hang(how, std::move(stop));
    return std::make_unique<FakeChild>(counts_, clock_.SteadyNow());
  };
  auto child = Take(Borrow(cache, recipe));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").loading == 2; }));
  cache.Return(Take(Borrow(cache, Good("other"))), Good("other"));
  cache.Return(std::move(child), recipe);
}

TEST_F(ModelCacheTest, AStatusReachesWhoWaits) {
  ModelCache cache({}, clock_);
  const Recipe none{.model = "m",
                    .version = "1",
                    .policy_hash = "",
                    .make = [](Preparation, std::stop_token) -> Made {
                      return absl::UnavailableError("no zygote");
                    }};
  EXPECT_TRUE(absl::IsUnavailable(Borrow(cache, none).status()));
}

TEST_F(ModelCacheTest, ARequestGivesUpAtItsDeadlineAndWhenItIsStopped) {
  ModelCache cache({}, clock_);
  const Recipe slow = Good("m", "1", milliseconds(300));
  EXPECT_TRUE(absl::IsDeadlineExceeded(Borrow(cache, slow, "", milliseconds(10)).status()));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_TRUE(absl::IsCancelled(cache
                                    .Borrow(Good("n", "1", milliseconds(300)), "",
                                            std::chrono::steady_clock::now() + seconds(30),
                                            stop.get_token())
                                    .status()));
  // What was begun is there for the next.
  cache.Return(Take(Borrow(cache, slow)), Good("m"));
}

TEST_F(ModelCacheTest, AChangedFileIsNoticedAndTheOldChildrenGo) {
  ModelCache cache({}, clock_);
  auto old = Take(Borrow(cache, Good("m", "1")));
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 1; }));
  auto fresh = Take(Borrow(cache, Good("m", "2")));
  EXPECT_GT(NumberOf(*fresh), 1);
  EXPECT_TRUE(old->usable());  // Who runs on the old one finishes.
  cache.Return(std::move(old), Good("m"));
  cache.Return(std::move(fresh), Good("m"));
}

TEST_F(ModelCacheTest, WhatNobodyAsksForGoesAndWhatIsPinnedStays) {
  ModelCache cache({.time_to_live = milliseconds(50), .pinned = {"kept"}}, clock_);
  cache.Preload(Good("gone"));
  cache.Preload(Good("kept"));
  EXPECT_TRUE(Eventually([&] { return counts_.made >= 2; }));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "gone").state == CacheState::kCold; }));
  EXPECT_EQ(EntryOf(cache, "kept").ready, 1u);
}

TEST_F(ModelCacheTest, ShortMemoryTakesTheLeastRecentlyAskedFor) {
  // Each child counts as this process, which is larger than the budget.
  ModelCache cache({.memory_bytes = 1}, clock_);
  cache.Preload(Good("first"));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "first").ready == 1; }));
  cache.Preload(Good("second"));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "second").ready == 1; }));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "first").ready == 0; }));
}

TEST_F(ModelCacheTest, AFileThatChildrenMapCountsOnceAndWhatOneGainsWithIt) {
  // A process under a sanitizer has tens of MiB of its own.
  constexpr std::uint64_t kFile = 256 << 20, kLittle = 192 << 20;
  const std::string file = ::testing::TempDir() + "mapped." + std::to_string(::getpid());
  struct statfs system;
  ASSERT_EQ(::statfs(::testing::TempDir().c_str(), &system), 0);
  if (system.f_type == TMPFS_MAGIC) GTEST_SKIP() << "files of a tmpfs are never clean";
  {
    std::ofstream(file).close();
    std::filesystem::resize_file(file, kFile);
    const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::fsync(fd.get()), 0);
  }
  MappingProcess first(file, kFile);
  std::optional<MappingProcess> second;
  std::atomic<int> pid = first.pid();
  Recipe recipe = Good("m");
  recipe.make = [&](Preparation, std::stop_token) -> Made {
    return std::make_unique<FakeChild>(counts_, clock_.SteadyNow(), pid);
  };
  ModelCache cache({.builders = 1}, clock_);
  auto child = Take(Borrow(cache, recipe, "alice"));
  second.emplace(file, kFile);
  pid = second->pid();
  cache.Return(std::move(child), recipe, "alice");
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 2; }));
  EXPECT_GT(EntryOf(cache, "m").memory_bytes, kFile);
  EXPECT_LT(EntryOf(cache, "m").memory_bytes, kFile + kLittle);
  // What it keeps of a request is found at the next sweep.
  child = Take(Borrow(cache, recipe, "alice"));
  first.Grow();
  cache.Return(std::move(child), recipe, "alice");
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").memory_bytes > 2 * kFile; }));
  EXPECT_LT(EntryOf(cache, "m").memory_bytes, 2 * kFile + kLittle);
  std::filesystem::remove(file);
}

TEST_F(ModelCacheTest, KeepsAsManyReadyAsToldAndMemoryAllows) {
  ModelCache cache({.children_min = 3}, clock_);
  cache.Preload(Good("m"));
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 3; }));
  ModelCache small({.memory_bytes = 1, .children_min = 3}, clock_);
  small.Return(Take(Borrow(small, Good("m"))), Good("m"));
  small.Return(Take(Borrow(small, Good("m"), "alice")), Good("m"), "alice");
  EXPECT_TRUE(Eventually([&] {
    const CacheEntry entry = EntryOf(small, "m");
    return entry.ready == 1 && entry.loading == 0;
  }));
}

TEST_F(ModelCacheTest, WarmsUpAsDeepAsTheLoadAllows) {
  base::Synchronized<std::vector<WarmUp>> depths;
  const Recipe recipe{.model = "m",
                      .version = "1",
                      .policy_hash = "",
                      .make = [&](Preparation how, std::stop_token) -> Made {
                        depths.With([&](auto& seen) { seen.push_back(how.warm_up); });
                        return std::make_unique<FakeChild>(counts_, clock_.SteadyNow());
                      }};
  const auto seen = [&] { return depths.With([](auto& all) { return all; }); };
  ModelCache cache({.children_min = 2, .builders = 1}, clock_);
  auto first = Take(Borrow(cache, recipe));  // Waits for it.
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 1; }));
  auto second = Take(Borrow(cache, recipe));
  cache.Return(std::move(first), recipe);
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 2; }));
  EXPECT_EQ(seen()[0], WarmUp::kNone);
  EXPECT_EQ(seen().back(), WarmUp::kSmall);  // The second one is still out.
  cache.Return(std::move(second), recipe);
  auto idle = Take(Borrow(cache, recipe));
  cache.Return(std::move(idle), recipe);
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 2; }));
  EXPECT_EQ(seen().back(), WarmUp::kFull);
}

TEST_F(ModelCacheTest, AChildThatDiesWhileItWaitsIsReplaced) {
  ModelCache cache({}, clock_);
  cache.Preload(Good("m"));
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 1; }));
  auto child = Take(Borrow(cache, Good("m"), "alice"));
  cache.Return(std::move(child), Good("m"), "alice");
  auto again = Take(Borrow(cache, Good("m"), "alice"));
  again->Kill();
  cache.Return(std::move(again), Good("m"), "alice");
  auto other = Take(Borrow(cache, Good("m"), "alice"));
  EXPECT_TRUE(other->usable());
  cache.Return(std::move(other), Good("m"));
}

TEST_F(ModelCacheTest, ManyThreadsOnManyModels) {
  ModelCache cache({.memory_bytes = 1, .builders = 3}, clock_);
  std::atomic<int> answered = 0, superseded = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(t));
        for (int i = 0; i < 100; ++i) {
          const std::string model = std::string("m") + static_cast<char>('0' + random() % 5);
          const std::string tenant = random() % 2 == 0 ? "alice" : "";
          const Recipe recipe = Good(model, random() % 20 == 0 ? "2" : "1");
          auto lent = Borrow(cache, recipe, tenant);
          if (!lent.ok()) {
            EXPECT_TRUE(absl::IsAborted(lent.status())) << lent.status();
            ++superseded;
            continue;
          }
          auto child = std::get<std::unique_ptr<ReadyChild>>(*std::move(lent));
          EXPECT_TRUE(child->usable());
          ++answered;
          cache.Return(std::move(child), recipe, tenant);
        }
      });
    }
  }
  EXPECT_EQ(answered + superseded, 600);
}

TEST_F(ModelCacheTest, AForgottenModelLetsGoOfAllThatItsRecipeHolds) {
  ModelCache cache({.time_to_live = seconds(0), .pinned = {"m"}}, clock_);
  std::weak_ptr<int> held;
  {
    auto lease = std::make_shared<int>();
    held = lease;
    Recipe recipe = Good("m");
    recipe.make = [lease = std::move(lease), make = recipe.make](
                      Preparation how, std::stop_token stop) { return make(how, std::move(stop)); };
    auto busy = Take(Borrow(cache, recipe, "alice"));
    EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").loading == 0; }));
    EXPECT_TRUE(cache.Forget("m"));
    cache.Return(std::move(busy), recipe, "alice");  // Who runs finishes, and is not kept.
  }
  EXPECT_TRUE(Eventually([&] { return counts_.alive == 0; }));
  EXPECT_TRUE(Eventually([&] { return held.expired(); }));
  EXPECT_FALSE(cache.Forget("m"));
  EXPECT_FALSE(cache.Forget("never seen"));
  cache.Return(Take(Borrow(cache, Good("m", "2"))), Good("m", "2"));
}

TEST_F(ModelCacheTest, ARequestThatWaitsForAForgottenModelIsServed) {
  ModelCache cache({}, clock_);
  std::atomic<bool> go = false;
  Recipe slow = Good("m");
  slow.make = [&go, make = slow.make](Preparation how, std::stop_token stop) {
    while (!go) std::this_thread::yield();
    return make(how, std::move(stop));
  };
  std::jthread waiter([&] { cache.Return(Take(Borrow(cache, slow)), slow); });
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").loading > 0; }));
  EXPECT_TRUE(cache.Forget("m"));
  go = true;
  waiter.join();
}

TEST_F(ModelCacheTest, NobodyGetsAChildOfAnotherVersion) {
  ModelCache cache({.builders = 1}, clock_);
  std::atomic<bool> go = false;
  Recipe old = Good("m", "1");
  old.make = [&go, make = old.make](Preparation how, std::stop_token stop) {
    while (!go) std::this_thread::yield();
    return make(how, std::move(stop));
  };
  absl::Status waited;
  std::jthread waiter([&] { waited = Borrow(cache, old).status(); });
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").loading > 0; }));
  cache.Preload(Good("m", "2"));
  go = true;
  waiter.join();
  EXPECT_TRUE(absl::IsAborted(waited)) << waited;
}

TEST_F(ModelCacheTest, ATenantsChildOfAnOldVersionIsNotKept) {
  ModelCache cache({}, clock_);
  auto child = Take(Borrow(cache, Good("m", "1"), "alice"));
  const int number = NumberOf(*child);
  cache.Preload(Good("m", "2"));
  cache.Return(std::move(child), Good("m", "1"), "alice");
  auto next = Take(Borrow(cache, Good("m", "2"), "alice"));
  EXPECT_NE(NumberOf(*next), number);
  cache.Return(std::move(next), Good("m", "2"));
}

TEST_F(ModelCacheTest, HowAnOldVersionFailedSaysNothingOfTheNewOne) {
  ModelCache cache({.builders = 1}, clock_);
  std::atomic<bool> go = false;
  const Recipe old{.model = "m",
                   .executor = "",
                   .version = "1",
                   .policy_hash = "",
                   .make = [&](Preparation, std::stop_token) -> Made {
                     while (!go) std::this_thread::yield();
                     return Failure{FailureKind::kModelInvalid, "taken away", ""};
                   }};
  cache.Preload(old);
  EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").loading > 0; }));
  cache.Preload(Good("m", "2"));
  go = true;
  cache.Return(Take(Borrow(cache, Good("m", "2"))), Good("m", "2"));
}

TEST_F(ModelCacheTest, ARewoundChildServesAnybody) {
  ModelCache cache({}, clock_);
  std::set<int> seen;
  for (int i = 0; i < 50; ++i) {
    auto child = Take(Borrow(cache, Good("m"), i % 2 == 0 ? "alice" : ""));
    seen.insert(NumberOf(*child));
    cache.ReturnToRewind(std::move(child), Good("m"));
    EXPECT_TRUE(Eventually([&] { return counts_.rewound == i + 1; }));
  }
  EXPECT_LT(seen.size(), 25);
}

TEST_F(ModelCacheTest, AUsedChildWaitsForALullWhileOthersAreReady) {
  base::FakeClock clock;
  ModelCache cache({.children_min = 4}, clock);
  cache.Preload(Good("m"));
  clock.Advance(milliseconds(100));
  ASSERT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready == 4; }));
  cache.ReturnToRewind(Take(Borrow(cache, Good("m"))), Good("m"));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(counts_.rewound, 0);
  clock.Advance(milliseconds(100));
  EXPECT_TRUE(Eventually([&] { return counts_.rewound == 1; }));
  // The next request but one would wait for it.
  std::vector<std::unique_ptr<ReadyChild>> lent;
  for (int i = 0; i < 3; ++i) lent.push_back(Take(Borrow(cache, Good("m"))));
  cache.ReturnToRewind(std::move(lent.front()), Good("m"));
  EXPECT_TRUE(Eventually([&] { return counts_.rewound == 2; }));
}

TEST_F(ModelCacheTest, RewoundChildrenOutlastAPauseBetweenBursts) {
  Recipe recipe = Good("m");
  recipe.rewound = true;
  for (const milliseconds idle : {milliseconds(0), milliseconds(30'000)}) {
    ModelCache cache({.rewound_idle_max = idle}, clock_);
    std::vector<std::unique_ptr<ReadyChild>> burst;
    for (int i = 0; i < 4; ++i) burst.push_back(Take(Borrow(cache, recipe)));
    for (auto& child : burst) cache.ReturnToRewind(std::move(child), recipe);
    EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").loading == 0; }));
    if (idle.count() == 0) {
      EXPECT_TRUE(Eventually([&] { return EntryOf(cache, "m").ready <= 2; }));
    } else {
      std::this_thread::sleep_for(milliseconds(1500));  // A sweep takes place once a second.
      EXPECT_GE(EntryOf(cache, "m").ready, 4);
    }
  }
}

TEST_F(ModelCacheTest, RewoundChildrenThatAnswerCountToo) {
  ModelCache cache({.children_max = 1}, clock_);
  Recipe recipe = Good("m");
  recipe.rewound = true;
  auto child = Take(Borrow(cache, recipe));
  // Neither a request that waits nor a sweep makes another beside the one that answers.
  absl::StatusOr<int> next = absl::UnknownError("not yet");
  std::jthread waiter([&] {
    auto lent = Take(Borrow(cache, recipe));
    next = NumberOf(*lent);
    cache.ReturnToRewind(std::move(lent), recipe);
  });
  std::this_thread::sleep_for(milliseconds(1100));  // A sweep takes place once a second.
  EXPECT_EQ(EntryOf(cache, "m").loading, 0);
  const int number = NumberOf(*child);
  cache.ReturnToRewind(std::move(child), recipe);
  waiter.join();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(*next, number);
  EXPECT_EQ(counts_.made, 1);
}

TEST_F(ModelCacheTest, AChildThatCannotBeRewoundIsReplaced) {
  counts_.can_rewind = false;
  ModelCache cache({}, clock_);
  std::set<int> seen;
  for (int i = 0; i < 10; ++i) {
    auto child = Take(Borrow(cache, Good("m")));
    EXPECT_TRUE(seen.insert(NumberOf(*child)).second);
    cache.ReturnToRewind(std::move(child), Good("m"));
  }
}

TEST_F(ModelCacheTest, AChildOfAnOldVersionIsNotRewound) {
  ModelCache cache({}, clock_);
  auto child = Take(Borrow(cache, Good("m", "1")));
  const int number = NumberOf(*child);
  cache.Preload(Good("m", "2"));
  cache.ReturnToRewind(std::move(child), Good("m", "1"));
  auto next = Take(Borrow(cache, Good("m", "2")));
  EXPECT_NE(NumberOf(*next), number);
  EXPECT_EQ(counts_.rewound, 0);
  cache.Return(std::move(next), Good("m", "2"));
}

}  // namespace
}  // namespace ncn::executors
