#include "executors/model_cache.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/files.h"
#include "base/logging.h"
#include "base/strings.h"

namespace ncn::executors {

using inference::Failure;
using inference::FailureKind;
using std::chrono::milliseconds;

namespace {

constexpr std::chrono::seconds kRateWindow{5};
constexpr std::size_t kAskedMax = 1024;
constexpr milliseconds kFirstPause{1000};
constexpr milliseconds kPauseMax{60'000};
constexpr milliseconds kSweepInterval{1000};
constexpr std::size_t kDoomedMax = 16;  // More are in the way even of requests that wait.
// Requests come in bursts, and a processor that makes or unmakes children serves them worse. What
// can wait waits until none has come or gone for a while, but not for ever.
constexpr milliseconds kLull{5};
constexpr milliseconds kBurstMax{50};
// With fewer than so many ready, the used ones are rewound while requests come.
constexpr std::size_t kSpareReady = 2;
// A load may hang until its time is over. So there are more builders than children are made at
// once: one takes over when all the others load, and one more never loads what may hang.
constexpr std::uint32_t kSpareBuilders = 2;

// Children that end while they wait for their first request: after so many it is a crash loop. One
// that was killed may be an operator's or the kernel's victim and weighs less than one that ended
// by itself.
constexpr int kDeathsMax = 21;
constexpr int kCrashWeight = 7;

struct Memory {
  std::uint64_t shared_bytes = 0;  // Its part of it; 0 when the kernel does not say.
  std::uint64_t private_bytes = 0;
};

Memory Measure(int pid) {
  const auto text = base::ReadFile(base::StrCat("/proc/", pid, "/smaps_rollup"), 1 << 16);
  if (!text.ok()) return {};
  const auto bytes = [&](std::string_view key) {
    const std::size_t at = text->find(key);
    std::uint64_t kib = 0;
    if (at != std::string::npos) std::istringstream(text->substr(at + key.size())) >> kib;
    return kib << 10;
  };
  // What is clean is a file's, and the next child shares it, though nobody may share it now.
  const std::uint64_t own = bytes("\nPrivate_Dirty:");
  const std::uint64_t all = bytes("\nPss:");
  return {all - std::min(all, own), own};
}

milliseconds PauseAfter(int failures) {
  return std::min(kPauseMax, kFirstPause * (1 << std::min(failures - 1, 10)));
}

}  // namespace

std::string_view Name(CacheState state) {
  switch (state) {
    case CacheState::kCold:
      return "COLD";
    case CacheState::kLoading:
      return "LOADING";
    case CacheState::kReady:
      return "READY";
    case CacheState::kEvicting:
      return "EVICTING";
    case CacheState::kQuarantined:
      return "QUARANTINED";
  }
  return "";
}

ModelCache::ModelCache(Options options, const base::Clock& clock)
    : options_(std::move(options)), clock_(clock), next_sweep_(clock.SteadyNow() + kSweepInterval) {
  for (std::uint32_t i = 0; i < options_.builders + kSpareBuilders; ++i) {
    builders_.emplace_back([this](std::stop_token stop) { Build(std::move(stop)); });
  }
}

ModelCache::~ModelCache() {
  for (std::jthread& builder : builders_) builder.request_stop();
  builders_.clear();
}

ModelCache::Pool& ModelCache::PoolFor(const Recipe& recipe) {
  Pool& pool = pools_[KeyOf(recipe)];
  if (pool.recipe.version != recipe.version) {
    // The files changed: who runs finishes on the old ones, nobody else begins there.
    while (!pool.ready.empty()) Destroy(pool, pool.ready.begin());
    pool.failures = 0;
    pool.failure.reset();
    pool.retry_at = {};
    ForgetDeaths(pool);
    pool.sound = false;
    pool.shared_bytes = 0;
    pool.private_bytes = 0;
  }
  pool.forgotten = false;
  pool.recipe = recipe;
  return pool;
}

// As many more as are asked for while one is made.
std::uint32_t ModelCache::Wanted(const Pool& pool) const {
  if (pool.recipe.rewound) {
    // As many as run at once, and one that is rewound meanwhile.
    const std::uint32_t ahead = pool.waiting > 0 ? pool.waiting + 1 : options_.children_min;
    // Those that answer now come back.
    const std::uint32_t most = options_.children_max - std::min(options_.children_max, pool.busy);
    return std::min(std::max(options_.children_min, ahead), most);
  }
  const auto meanwhile = static_cast<std::uint32_t>(std::min(AskedDuringLoad(pool), 1e6));
  const std::uint32_t most = Affordable(pool);
  const std::uint32_t used = static_cast<std::uint32_t>(pool.ready.size()) - UnusedIn(pool);
  const std::uint32_t ahead =
      std::min(options_.children_min + meanwhile, most - std::min(most, used));
  return std::min(std::max(ahead, pool.waiting), options_.children_max);
}

std::uint64_t ModelCache::MemoryOf(const Pool& pool) {
  const std::uint64_t common = pool.recipe.shared ? pool.recipe.shared->memory_bytes() : 0;
  if (pool.ready.empty()) return common;
  std::uint64_t sum = common + pool.shared_bytes;
  for (const Ready& ready : pool.ready) {
    sum += ready.private_bytes > 0 ? ready.private_bytes : pool.private_bytes;
  }
  return sum;
}

void ModelCache::DropShared(const Pool& pool) {
  if (pool.recipe.shared) pool.recipe.shared->Drop();
}

std::uint32_t ModelCache::UnusedIn(const Pool& pool) {
  return static_cast<std::uint32_t>(std::count_if(pool.ready.begin(), pool.ready.end(),
                                                  [](const Ready& r) { return r.tenant.empty(); }));
}

std::uint32_t ModelCache::Affordable(const Pool& pool) const {
  if (pool.private_bytes == 0) return options_.children_max;
  const std::uint64_t shared = std::min(pool.shared_bytes, options_.memory_bytes);
  const std::uint64_t many = (options_.memory_bytes - shared) / pool.private_bytes;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(many, 1, options_.children_max));
}

double ModelCache::AskedDuringLoad(const Pool& pool) const {
  const base::SteadyTime since = clock_.SteadyNow() - kRateWindow;
  const auto recent =
      pool.asked.end() - std::lower_bound(pool.asked.begin(), pool.asked.end(), since);
  const double rate =
      static_cast<double>(recent) / std::chrono::duration<double>(kRateWindow).count();
  return std::round(rate * std::chrono::duration<double>(pool.load_time).count());
}

// A first call takes as long as a request does, and saves that one less.
WarmUp ModelCache::WarmUpFor(const Pool& pool) const {
  // Each of its requests finds what the first call left: one call is never too much to pay. But
  // who waits for the very first child gets one without, for this request alone.
  if (pool.recipe.rewound || (pool.recipe.shared && pool.recipe.shared->wanted())) {
    const bool first = UnusedIn(pool) + pool.busy + pool.loading <= 1;
    return pool.waiting > 0 && first ? WarmUp::kNone : WarmUp::kFull;
  }
  if (pool.waiting > 0 || AskedDuringLoad(pool) >= 1) return WarmUp::kNone;
  const bool busy = std::any_of(pools_.begin(), pools_.end(),
                                [](const auto& entry) { return entry.second.busy > 0; });
  return busy ? WarmUp::kSmall : WarmUp::kFull;
}

bool ModelCache::Reusable(const ReadyChild& child) const {
  return child.usable() && child.answered() < options_.reuse_requests_max &&
         clock_.SteadyNow() - child.ready_since() < options_.reuse_time_max;
}

bool ModelCache::Lendable(const Ready& ready) const {
  return ready.tenant.empty() ? ready.child->usable() : Reusable(*ready.child);
}

void ModelCache::DropForgotten(Pool& pool) {
  if (!pool.forgotten || pool.waiting > 0) return;
  pool.to_load = 0;
  DropShared(pool);
  pool.recipe = {.model = pool.recipe.model, .executor = pool.recipe.executor};
}

bool ModelCache::Forget(const std::string& model) {
  std::lock_guard lock(mutex_);
  bool warm = false;
  for (auto& [key, pool] : pools_) {
    if (key.first != model) continue;
    warm = warm || pool.ready.size() + pool.loading + pool.to_load + pool.busy > 0;
    while (!pool.ready.empty()) Destroy(pool, pool.ready.begin());
    pool.forgotten = true;
    DropForgotten(pool);
  }
  return warm;
}

void ModelCache::Want(Pool& pool) {
  if (!pool.recipe.make) return;  // Forgotten.
  if (pool.failures > 0 && clock_.SteadyNow() < pool.retry_at) return;
  const std::uint32_t wanted = pool.failures > 0 ? 1 : Wanted(pool);
  const std::uint32_t have = UnusedIn(pool) + pool.loading + pool.to_load;
  if (have >= wanted) return;
  pool.to_load += wanted - have;
  WakeBuilders();
}

void ModelCache::WakeBuilders() {
  if (watching_ == 0 || Urgent()) work_.notify_all();
}

void ModelCache::Stir() {
  const base::SteadyTime now = clock_.SteadyNow();
  if (now - last_stir_ > kLull) burst_since_ = now;
  last_stir_ = now;
}

bool ModelCache::Missing(const Pool& pool) {
  return pool.to_load > 0 && (pool.waiting > 0 || UnusedIn(pool) == 0);
}

bool ModelCache::MayMake(const Pool& pool) const {
  if (pool.to_load == 0) return false;
  if (making_ < options_.builders) return pool.sound || pool.making == 0;
  return pool.making == 0 && Missing(pool) && (pool.sound || making_unsound_ <= options_.builders);
}

bool ModelCache::Pressing(const Used& used) const {
  return pools_.at(used.pool).ready.size() < kSpareReady;
}

bool ModelCache::MustRewind() const {
  return std::ranges::any_of(used_, [&](const Used& used) { return Pressing(used); });
}

bool ModelCache::Urgent() const {
  return doomed_.size() > kDoomedMax || MustRewind() ||
         std::any_of(pools_.begin(), pools_.end(), [&](const auto& entry) {
           return Missing(entry.second) && MayMake(entry.second);
         });
}

// Requests that wait come first, then the dead, then what is made ahead.
ModelCache::Pool* ModelCache::Next() {
  Pool* chosen = nullptr;  // Pools are never removed.
  for (auto& [key, pool] : pools_) {
    if (!MayMake(pool)) continue;
    if (chosen == nullptr || pool.waiting > chosen->waiting) chosen = &pool;
    if (Missing(pool) && !Missing(*chosen)) chosen = &pool;
  }
  return chosen;
}

void ModelCache::CountDeath(Pool& pool, const Ready& dead) {
  // Those that end together, as with their zygote, end for one reason.
  if (dead.since <= pool.death_seen_at || dead.child->answered() > 0) return;
  pool.death_seen_at = clock_.SteadyNow();
  pool.deaths += dead.child->crashed() ? kCrashWeight : 1;
  if (pool.deaths < kDeathsMax) return;
  pool.failures = ++pool.deaths_failed;
  pool.failure = Failure{FailureKind::kExecutorCrashed,
                         "its ready sandboxes end again and again before a request comes",
                         "Correct the model or its executor: what has loaded is to wait."};
  pool.retry_at = clock_.SteadyNow() + PauseAfter(pool.failures);
  pool.to_load = 0;
  ++pool.generation;
  changed_.notify_all();
}

void ModelCache::Destroy(Pool& pool, std::list<Ready>::iterator which) {
  Doom(pool, std::move(which->child));
  pool.ready.erase(which);
}

void ModelCache::Doom(Pool& pool, std::unique_ptr<ReadyChild> child) {
  ++pool.evicting;
  doomed_.push_back({std::move(child), KeyOf(pool.recipe)});
  WakeBuilders();
}

ModelCache::Lent ModelCache::Borrow(const Recipe& recipe, const std::string& tenant,
                                    base::SteadyTime deadline, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  Pool& pool = PoolFor(recipe);
  Stir();
  const base::SteadyTime now = last_stir_;
  pool.last_asked = now;
  pool.squeezed = false;
  pool.asked.push_back(now);
  if (pool.asked.size() > kAskedMax) pool.asked.pop_front();
  if (pool.failure.has_value() && pool.failures > 0 && now < pool.retry_at) {
    if (!pool.failure->ok()) return pool.failure->status();
    return **pool.failure;
  }
  ++pool.waiting;
  const std::uint64_t generation = pool.generation;
  const auto done = [&]() -> std::optional<Lent> {
    // Somebody has asked for another version; its children are not what this request is about.
    if (pool.recipe.version != recipe.version) {
      return Lent(absl::AbortedError(
          base::StrCat("model ", recipe.model, " changed while a request waited for it")));
    }
    bool dropped = false;
    for (auto at = pool.ready.begin(); at != pool.ready.end();) {
      auto next = std::next(at);
      if (!Lendable(*at)) {
        if (!at->child->usable()) CountDeath(pool, *at);
        Destroy(pool, at);
        dropped = true;
      } else if (at->tenant.empty() || at->tenant == tenant) {
        std::unique_ptr<ReadyChild> child = std::move(at->child);
        pool.ready.erase(at);
        ++pool.busy;
        return Lent(std::move(child));
      }
      at = next;
    }
    if (dropped) Want(pool);
    // A failure counts for those who waited when it happened.
    if (pool.generation != generation && pool.failures > 0) {
      if (!pool.failure->ok()) return Lent(pool.failure->status());
      return Lent(**pool.failure);
    }
    return std::nullopt;
  };
  std::optional<Lent> lent = done();
  // The next one is made when this request is answered (see Return), unless one is missing now.
  if (!lent) {
    Want(pool);
    WakeBuilders();  // A used one may be all that it needs.
  }
  while (!lent && !stop.stop_requested()) {
    if (!changed_.wait_until(lock, stop, deadline, [&] { return (lent = done()).has_value(); }))
      break;
  }
  --pool.waiting;
  DropForgotten(pool);
  if (lent) return *std::move(lent);
  if (stop.stop_requested()) return absl::CancelledError("cancelled while its model was loaded");
  return absl::DeadlineExceededError("the model was still being loaded when the time was over");
}

void ModelCache::Return(std::unique_ptr<ReadyChild> child, const Recipe& recipe,
                        const std::string& tenant) {
  std::lock_guard lock(mutex_);
  Pool& pool = pools_[KeyOf(recipe)];
  const bool again = !tenant.empty() && Reusable(*child) && pool.recipe.version == recipe.version &&
                     !pool.forgotten;
  --pool.busy;
  ForgetDeaths(pool);
  Stir();
  Want(pool);
  if (again) {
    Keep(pool, {std::move(child), tenant, last_stir_});
  } else {
    Doom(pool, std::move(child));
  }
}

void ModelCache::Keep(Pool& pool, Ready ready) {
  if (pool.ready.size() >= Affordable(pool)) {
    // The last one that has a tenant: who returns one goes to the front.
    const auto oldest = std::find_if(pool.ready.rbegin(), pool.ready.rend(),
                                     [](const Ready& one) { return !one.tenant.empty(); });
    if (oldest == pool.ready.rend()) return Doom(pool, std::move(ready.child));
    Destroy(pool, std::prev(oldest.base()));
  }
  pool.ready.push_front(std::move(ready));
  KeepToBudget(pool);
  if (pool.waiting > 0) changed_.notify_all();  // Waking builders for nothing costs more.
}

void ModelCache::ReturnToRewind(std::unique_ptr<ReadyChild> child, const Recipe& recipe) {
  std::lock_guard lock(mutex_);
  Pool& pool = pools_[KeyOf(recipe)];
  --pool.busy;
  ForgetDeaths(pool);
  Stir();
  if (!Reusable(*child) || pool.recipe.version != recipe.version || pool.forgotten) {
    Want(pool);
    Doom(pool, std::move(child));
    return;
  }
  if (pool.loading++ == 0) pool.loading_since = clock_.SteadyNow();
  used_.push_back({std::move(child), KeyOf(recipe), recipe.version});
  // It is on the way of an answer: one builder is enough, and a watching one wakes by itself.
  if (watching_ == 0 || Urgent()) work_.notify_one();
}

void ModelCache::RewindOne(std::unique_lock<std::mutex>& lock) {
  auto next = std::ranges::find_if(used_, [&](const Used& one) { return Pressing(one); });
  if (next == used_.end()) next = used_.begin();
  Used used = std::move(*next);
  used_.erase(next);
  if (!used_.empty() && Urgent()) work_.notify_one();
  lock.unlock();
  const absl::Status rewound = used.child->Rewind();
  if (!rewound.ok()) {
    base::Log("executors")
        .info("a ready sandbox of {} is replaced: {}", used.pool.first,
              base::ToStd(rewound.message()));
  }
  lock.lock();
  Pool& pool = pools_[used.pool];
  --pool.loading;
  ++pool.generation;
  const bool current = pool.recipe.version == used.version && !pool.forgotten;
  if (rewound.ok() && current && pool.ready.size() < Affordable(pool)) {
    pool.ready.push_front({std::move(used.child), "", clock_.SteadyNow()});
    KeepToBudget(pool);
  } else {
    Doom(pool, std::move(used.child));
    Want(pool);
  }
  changed_.notify_all();
}

void ModelCache::Preload(const Recipe& recipe) {
  std::lock_guard lock(mutex_);
  Pool& pool = PoolFor(recipe);
  pool.last_asked = clock_.SteadyNow();
  pool.squeezed = false;
  Want(pool);
}

void ModelCache::KeepToBudget(Pool& spared) {
  const auto memory = [&] {
    std::uint64_t sum = 0;
    for (const auto& [key, pool] : pools_) {
      sum += MemoryOf(pool);
    }
    return sum;
  };
  while (memory() > options_.memory_bytes) {
    Pool* oldest = nullptr;
    for (auto& [key, pool] : pools_) {
      if (&pool == &spared || MemoryOf(pool) == 0 || options_.pinned.contains(pool.recipe.model))
        continue;
      if (pool.waiting > 0) continue;  // It is about to be taken.
      if (oldest == nullptr || pool.last_asked < oldest->last_asked) oldest = &pool;
    }
    if (oldest == nullptr) break;
    base::Log("executors").info("model {} leaves the cache: memory is short", oldest->recipe.model);
    while (!oldest->ready.empty()) Destroy(*oldest, oldest->ready.begin());
    oldest->to_load = 0;
    oldest->squeezed = true;
    DropShared(*oldest);
  }
  while (memory() > options_.memory_bytes && spared.ready.size() > 1 && spared.waiting == 0) {
    Destroy(spared, std::prev(spared.ready.end()));
    spared.squeezed = true;
  }
}

void ModelCache::Sweep() {
  const base::SteadyTime now = clock_.SteadyNow();
  for (auto& [key, pool] : pools_) {
    const bool pinned = options_.pinned.contains(pool.recipe.model);
    const bool stale = !pinned && now - pool.last_asked >= options_.time_to_live;
    const std::uint32_t wanted = stale ? 0 : Wanted(pool);
    std::uint32_t kept = 0;
    for (auto at = pool.ready.begin(); at != pool.ready.end();) {
      auto next = std::next(at);
      // A tenant's own goes when its time is over; the unused ones when fewer are wanted.
      const bool spent = !pool.recipe.rewound || now - at->since >= options_.rewound_idle_max;
      const bool surplus = at->tenant.empty() && ++kept > wanted + 1 && spent;
      if (!at->child->usable()) CountDeath(pool, *at);
      if (stale || surplus || !Lendable(*at)) Destroy(pool, at);
      at = next;
    }
    if (stale) DropShared(pool);
    // After failures, too, when their pause is over.
    if (!stale && (!pool.squeezed || (pinned && pool.ready.empty()))) Want(pool);
  }
}

void ModelCache::MeasureSome(std::unique_lock<std::mutex>& lock) {
  struct Look {
    Pool* pool;  // Pools are never removed.
    const ReadyChild* child;
    int pid;
    Memory memory;
  };
  std::vector<Look> looks;
  for (auto& [key, pool] : pools_) {
    const auto unknown = std::find_if(pool.ready.begin(), pool.ready.end(),
                                      [](const Ready& r) { return r.private_bytes == 0; });
    if (unknown == pool.ready.end() || !unknown->child->usable()) continue;
    looks.push_back({&pool, unknown->child.get(), unknown->child->pid(), {}});
  }
  lock.unlock();
  for (Look& look : looks) look.memory = Measure(look.pid);
  lock.lock();
  for (const Look& look : looks) {
    // It may have been lent meanwhile, and another one may be where it was.
    for (Ready& ready : look.pool->ready) {
      if (ready.child.get() != look.child || ready.child->pid() != look.pid) continue;
      ready.private_bytes = look.memory.private_bytes;
      // What a tenant's holds of its requests says nothing of the others.
      if (ready.tenant.empty()) look.pool->private_bytes = look.memory.private_bytes;
      look.pool->shared_bytes = std::max(look.pool->shared_bytes, look.memory.shared_bytes);
      KeepToBudget(*look.pool);
      break;
    }
  }
}

void ModelCache::Bury(std::unique_lock<std::mutex>& lock) {
  Doomed dead = std::move(doomed_.back());
  doomed_.pop_back();
  lock.unlock();
  dead.child.reset();
  lock.lock();
  --pools_[dead.pool].evicting;
}

void ModelCache::Make(Pool& pool, std::unique_lock<std::mutex>& lock, const std::stop_token& stop) {
  const bool unsound = !pool.sound;
  --pool.to_load;
  ++pool.loading;
  ++pool.making;
  ++making_;
  if (unsound) ++making_unsound_;
  const Recipe recipe = pool.recipe;
  if (pool.loading == 1) pool.loading_since = clock_.SteadyNow();
  const bool measured = pool.private_bytes > 0;
  const Preparation how{.warm_up = WarmUpFor(pool),
                        .check_weights = !pool.sound,
                        .background = pool.waiting == 0 && UnusedIn(pool) > 0};
  lock.unlock();
  const base::SteadyTime began = clock_.SteadyNow();
  auto made = recipe.make(how, stop);
  const auto taken = clock_.SteadyNow() - began;
  auto* child = made.ok() ? std::get_if<std::unique_ptr<ReadyChild>>(&*made) : nullptr;
  const Memory memory = child != nullptr && !measured ? Measure((*child)->pid()) : Memory();
  lock.lock();
  --pool.loading;
  --pool.making;
  --making_;
  if (unsound) --making_unsound_;
  ++pool.generation;
  if (recipe.version != pool.recipe.version) {
    // How it went says nothing of the version that somebody may wait for now.
    if (child != nullptr) Doom(pool, std::move(*child));
    Want(pool);
  } else if (child == nullptr) {
    ++pool.failures;
    pool.sound = false;
    pool.to_load = 0;
    if (made.ok()) {
      pool.failure = std::get<Failure>(*made);
      pool.retry_at = IsUnsupported(pool) ? base::SteadyTime::max()
                                          : clock_.SteadyNow() + PauseAfter(pool.failures);
    } else {
      pool.retry_at = clock_.SteadyNow();  // The model is not to blame.
      pool.failure = made.status();
    }
  } else {
    pool.failures = 0;
    pool.failure.reset();
    pool.load_time = taken;
    pool.sound = true;
    pool.shared_bytes = std::max(pool.shared_bytes, memory.shared_bytes);
    pool.private_bytes = std::max(pool.private_bytes, memory.private_bytes);
    pool.ready.push_back({std::move(*child), "", clock_.SteadyNow(), memory.private_bytes});
    KeepToBudget(pool);
  }
  changed_.notify_all();
  WakeBuilders();
}

void ModelCache::Build(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  // A time of the clock's as one of the condition's.
  const auto wait_until = [&](base::SteadyTime time, const auto& condition) {
    const auto left = time - clock_.SteadyNow();
    work_.wait_for(lock, stop, left, condition);
  };
  while (!stop.stop_requested()) {
    const base::SteadyTime now = clock_.SteadyNow();
    if (now >= next_sweep_) {
      next_sweep_ = now + kSweepInterval;
      Sweep();
      MeasureSome(lock);
    }
    Pool* const chosen = Next();
    const base::SteadyTime calm = std::min(last_stir_ + kLull, burst_since_ + kBurstMax);
    const bool must_bury = doomed_.size() > kDoomedMax;
    const bool must_make = chosen != nullptr && Missing(*chosen);
    if (MustRewind() || (!used_.empty() && now >= calm)) {
      RewindOne(lock);
    } else if (chosen == nullptr && doomed_.empty() && used_.empty()) {
      wait_until(next_sweep_,
                 [&] { return !used_.empty() || !doomed_.empty() || Next() != nullptr; });
    } else if (!must_bury && !must_make && now < calm) {
      ++watching_;
      wait_until(std::min(calm, next_sweep_), [&] { return Urgent(); });
      --watching_;
    } else if (must_bury || (!must_make && !doomed_.empty())) {
      Bury(lock);
    } else {
      Make(*chosen, lock, stop);
    }
  }
  // Whoever is left is killed and waited for with its owner.
}

bool ModelCache::IsUnsupported(const Pool& pool) {
  return pool.failure && pool.failure->ok() &&
         (*pool.failure)->kind == FailureKind::kModelUnsupported;
}

CacheState ModelCache::StateOf(const Pool& pool) const {
  if (IsUnsupported(pool)) return CacheState::kCold;
  if (pool.failures > 0 && clock_.SteadyNow() < pool.retry_at) return CacheState::kQuarantined;
  if (!pool.ready.empty() || pool.busy > 0) return CacheState::kReady;
  if (pool.loading + pool.to_load > 0) return CacheState::kLoading;
  if (pool.evicting > 0) return CacheState::kEvicting;
  return CacheState::kCold;
}

std::vector<CacheEntry> ModelCache::Entries() const {
  std::lock_guard lock(mutex_);
  std::vector<CacheEntry> entries;
  const base::SteadyTime now = clock_.SteadyNow();
  for (const auto& [key, pool] : pools_) {
    CacheEntry entry{.model = pool.recipe.model,
                     .executor = pool.recipe.executor,
                     .state = StateOf(pool),
                     .ready = static_cast<std::uint32_t>(pool.ready.size()),
                     .loading = pool.loading,
                     .busy = pool.busy,
                     .private_bytes = pool.private_bytes,
                     .load_time = std::chrono::duration_cast<milliseconds>(pool.load_time),
                     .loading_for = pool.loading > 0 ? std::chrono::duration_cast<milliseconds>(
                                                           now - pool.loading_since)
                                                     : milliseconds(0),
                     .pinned = options_.pinned.contains(pool.recipe.model)};
    entry.memory_bytes = MemoryOf(pool);
    if (IsUnsupported(pool)) entry.reason = (*pool.failure)->message;
    if (entry.state == CacheState::kQuarantined) {
      entry.reason = pool.failure->ok() ? (*pool.failure)->message
                                        : std::string(pool.failure->status().message());
      entry.retry_after = std::chrono::ceil<milliseconds>(pool.retry_at - now);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace ncn::executors
