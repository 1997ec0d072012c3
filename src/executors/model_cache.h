#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "executors/ready_child.h"

namespace ncn::executors {

// Where a model stands in the cache.
enum class CacheState { kCold, kLoading, kReady, kEvicting, kQuarantined };
std::string_view Name(CacheState state);

// What an operator sees of a model in the cache.
struct CacheEntry {
  std::string model;
  std::string executor;
  CacheState state = CacheState::kCold;
  std::uint32_t ready = 0;
  std::uint32_t loading = 0;
  std::uint32_t busy = 0;                    // Lent to requests.
  std::uint64_t memory_bytes = 0;            // Of the ready ones, what they share counted once.
  std::uint64_t private_bytes = 0;           // Of one of them, shared with nobody.
  std::chrono::milliseconds load_time{0};    // Of the last one.
  std::chrono::milliseconds loading_for{0};  // The first of those that load.
  bool pinned = false;
  std::string reason;                        // Why it is quarantined or unsupported,
  std::chrono::milliseconds retry_after{0};  // and until when.
};

// What makes one child of a model, and when two are alike.
struct Recipe {
  std::string model;        // Its name.
  std::string executor;     // Whose children these are; those of two are kept apart.
  std::string version;      // Anything of which a change makes the children that there are stale.
  std::string policy_hash;  // Of the sandbox policy that it is run under.
  bool rewound = false;     // Children that were warmed up serve more than one request.
  // What its children have in common; null: nothing. The cache lets go of it with the last of them.
  std::shared_ptr<SharedByChildren> shared;
  // Makes a child; Status and Failure as of ZygoteChild::Start. Called on threads of the cache.
  std::function<absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, inference::Failure>>(
      Preparation, std::stop_token)>
      make;
};

// Ready children by model and executor: made ahead, lent to one request each, replaced behind its
// back. A model that nobody asked for goes after a while; when memory is short, the one that was
// asked for least recently goes first. A model that fails again and again is left alone for a
// while; one that its executor does not support, until either changes. Thread-safe.
class ModelCache {
 public:
  struct Options {
    std::chrono::milliseconds time_to_live{std::chrono::minutes(5)};
    std::uint64_t memory_bytes = 4ULL << 30;  // Of all ready children together.
    std::uint32_t children_min = 1;           // Ready of one model, when no request waits,
    // and at most, those that load included; so are those that answer, where they are rewound.
    std::uint32_t children_max = 8;
    std::uint32_t builders = 2;  // Children made at once, as long as no load hangs.
    // How long more than those are kept of the children that are rewound: until the next burst.
    std::chrono::milliseconds rewound_idle_max{std::chrono::seconds(30)};
    // How many requests one child serves, and how long after it became ready, when it is not new
    // for each.
    std::uint32_t reuse_requests_max = 10'000;
    std::chrono::milliseconds reuse_time_max = std::chrono::minutes(10);
    std::set<std::string> pinned;  // Models that stay.
  };
  ModelCache(Options options, const base::Clock& clock);
  ~ModelCache();
  ModelCache(const ModelCache&) = delete;
  ModelCache& operator=(const ModelCache&) = delete;

  // A child for one request: a ready one at once, or else the next that becomes ready. A Failure is
  // the model's own; a Status tells that no child can be made at all. DeadlineExceeded and
  // Cancelled mean that it takes too long for this request; the making goes on. Aborted: the model
  // is another one by now.
  using Lent = absl::StatusOr<std::variant<std::unique_ptr<ReadyChild>, inference::Failure>>;
  Lent Borrow(const Recipe& recipe, const std::string& tenant, base::SteadyTime deadline,
              std::stop_token stop);
  // Ends the loan. With a tenant the child waits for further requests of that one alone, as many
  // and as long as the options say; without, it is destroyed in the background.
  void Return(std::unique_ptr<ReadyChild> child, const Recipe& recipe,
              const std::string& tenant = "");
  // Ends the loan of a child that is rewound in the background and then serves anybody.
  void ReturnToRewind(std::unique_ptr<ReadyChild> child, const Recipe& recipe);
  // Begins to make a child ahead of the first request.
  void Preload(const Recipe& recipe);

  // Destroys the ready children of a model and lets go of its recipes, with all that they hold,
  // once no request waits for one. Whether there was a child, or one to be made.
  bool Forget(const std::string& model);

  std::vector<CacheEntry> Entries() const;

 private:
  struct Ready {
    std::unique_ptr<ReadyChild> child;
    std::string tenant;  // Empty: nobody has used it.
    base::SteadyTime since;
    // What is its own; 0: not measured since it came, so taken to be like the others.
    std::uint64_t private_bytes = 0;
  };
  using PoolKey = std::pair<std::string, std::string>;  // Model and executor.
  struct Doomed {
    std::unique_ptr<ReadyChild> child;
    PoolKey pool;
  };
  struct Used {
    std::unique_ptr<ReadyChild> child;
    PoolKey pool;
    std::string version;
  };
  struct Pool {
    Recipe recipe;
    std::list<Ready> ready;
    std::uint32_t loading = 0;
    std::uint32_t to_load = 0;  // Wanted and not begun.
    std::uint32_t busy = 0;
    std::uint32_t waiting = 0;   // Requests without a child.
    std::uint32_t evicting = 0;  // Killed and not gone yet.
    base::SteadyTime last_asked;
    std::deque<base::SteadyTime> asked;  // Lately, for the rate.
    std::chrono::steady_clock::duration load_time{0};
    base::SteadyTime loading_since;  // The first of those that load.
    std::uint32_t making = 0;        // Of those that load, not being rewound.
    // The last load went well: its weights were looked at, and it is not likely to hang.
    bool sound = false;
    // Of one child: what it shares, as its part of that was when fewest shared it, and what is its
    // own, as it was measured last.
    std::uint64_t shared_bytes = 0;
    std::uint64_t private_bytes = 0;
    int deaths = 0;         // Of children that waited for their first request, in a row, weighed.
    int deaths_failed = 0;  // Times that there were too many.
    base::SteadyTime death_seen_at;
    bool forgotten = false;  // Its recipe goes when nobody waits any more.
    bool squeezed = false;   // There is no memory for more until somebody asks for it.
    int failures = 0;        // In a row.
    base::SteadyTime retry_at;
    std::optional<absl::StatusOr<inference::Failure>> failure;  // The last one.
    std::uint64_t generation = 0;                               // Counts loads that ended.
  };

  void Build(std::stop_token stop);
  // They leave the mutex for the time that they take.
  void Bury(std::unique_lock<std::mutex>& lock);
  void RewindOne(std::unique_lock<std::mutex>& lock);
  // One child of each pool, where there is one that was not measured yet.
  void MeasureSome(std::unique_lock<std::mutex>& lock);
  void Make(Pool& pool, std::unique_lock<std::mutex>& lock, const std::stop_token& stop);
  // The pool for which the next child is to be made now, if any.
  Pool* Next();
  // The following are called with the mutex held.
  Pool& PoolFor(const Recipe& recipe);
  void Want(Pool& pool);
  // After the end of a child that waited. Too many are a failure, though each load went well.
  void CountDeath(Pool& pool, const Ready& dead);
  // After a loan: the model's children live long enough for a request.
  static void ForgetDeaths(Pool& pool) { pool.deaths = pool.deaths_failed = 0; }
  static void DropForgotten(Pool& pool);
  void WakeBuilders();
  // Tells that a request has come or gone.
  void Stir();
  // Whether the next request would have to wait for a child.
  static bool Missing(const Pool& pool);
  // Whether a child of the pool may be made now: loads that may hang leave builders to the others.
  bool MayMake(const Pool& pool) const;
  // Whether requests may soon wait for this one.
  bool Pressing(const Used& used) const;
  bool MustRewind() const;
  bool Urgent() const;
  std::uint32_t Wanted(const Pool& pool) const;
  static std::uint64_t MemoryOf(const Pool& pool);
  static void DropShared(const Pool& pool);
  static std::uint32_t UnusedIn(const Pool& pool);
  std::uint32_t Affordable(const Pool& pool) const;  // At least one, whatever it takes.
  double AskedDuringLoad(const Pool& pool) const;    // Requests, as of late.
  WarmUp WarmUpFor(const Pool& pool) const;
  // Whether a child that has served may serve again.
  bool Reusable(const ReadyChild& child) const;
  // Whether a child that waits may be lent.
  bool Lendable(const Ready& ready) const;
  // Keeps a tenant's child, in place of the one that has waited longest when there are too many.
  void Keep(Pool& pool, Ready ready);
  void Destroy(Pool& pool, std::list<Ready>::iterator which);
  void Doom(Pool& pool, std::unique_ptr<ReadyChild> child);
  void Sweep();
  void KeepToBudget(Pool& spared);
  static PoolKey KeyOf(const Recipe& recipe) { return {recipe.model, recipe.executor}; }
  static bool IsUnsupported(const Pool& pool);
  CacheState StateOf(const Pool& pool) const;

  const Options options_;
  const base::Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable_any work_;     // For builders.
  std::condition_variable_any changed_;  // News for borrowers.
  std::map<PoolKey, Pool> pools_;
  std::deque<Used> used_;       // To be rewound.
  std::vector<Doomed> doomed_;  // To be killed and waited for by a builder.
  base::SteadyTime last_stir_;
  base::SteadyTime burst_since_;
  int watching_ = 0;                  // Builders that wait for the end of a burst.
  std::uint32_t making_ = 0;          // Builders that make a child,
  std::uint32_t making_unsound_ = 0;  // and those that do of pools that were not sound.
  base::SteadyTime next_sweep_;
  std::vector<std::jthread> builders_;
};

}  // namespace ncn::executors
