#include "models/store_watcher.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/logging.h"
#include "base/strings.h"

namespace ncn::models {
namespace {

using std::chrono::steady_clock;

// More are counted, so that a folder of thousands does not fill the log.
constexpr std::size_t kLinesMax = 100;

std::string_view Name(ModelChange::Kind kind) {
  switch (kind) {
    case ModelChange::Kind::kAdded:
      return "added";
    case ModelChange::Kind::kReplaced:
      return "replaced";
    case ModelChange::Kind::kRemoved:
      break;
  }
  return "removed";
}

// Problems that are new or other ones; those that are gone tell themselves as a change.
void LogProblems(const Listing& before, const Listing& now) {
  std::size_t lines = 0;
  for (const auto& [name, why] : now.problems) {
    const auto known = before.problems.find(name);
    if (known != before.problems.end() && known->second == why) continue;
    if (++lines > kLinesMax) continue;
    base::Log("models").warn("model {} not usable: {}", base::OneLine(name),
                             base::OneLine(base::ToStd(why.message())));
  }
  if (lines > kLinesMax) base::Log("models").warn("{} further not usable", lines - kLinesMax);
}

void LogChanges(const std::vector<ModelChange>& changes) {
  for (std::size_t i = 0; i < std::min(changes.size(), kLinesMax); ++i) {
    base::Log("models").info("model {} {}", changes[i].id.value(), Name(changes[i].kind));
  }
  if (changes.size() > kLinesMax) {
    base::Log("models").info("{} further changes", changes.size() - kLinesMax);
  }
}

}  // namespace

StoreWatcher::StoreWatcher(const StoreFolders& folders, Catalogue& catalogue,
                           std::function<void(const std::vector<ModelChange>&)> on_change,
                           const Options& options)
    : catalogue_(catalogue),
      on_change_(std::move(on_change)),
      options_(options),
      watch_(folders, options.watch),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  TellGap();
  catalogue_.LookAtAll();
  told_ = catalogue_.listing();
  const base::SteadyTime now = steady_clock::now();
  for (const EntryPlace& place : told_->unsettled) due_.emplace(place, now + options_.rest);
  thread_ = std::jthread([this](std::stop_token stop) { Run(std::move(stop)); });
}

StoreWatcher::~StoreWatcher() = default;

base::SteadyTime StoreWatcher::NextDue() const {
  base::SteadyTime next = steady_clock::now() + options_.check_interval;
  if (everything_) next = std::min(next, everything_due_);
  for (const auto& [place, due] : due_) next = std::min(next, due);
  return next;
}

void StoreWatcher::Run(std::stop_token stop) {
  const std::stop_callback on_stop(stop, [this] { ::eventfd_write(wake_.get(), 1); });
  base::SteadyTime check_at = steady_clock::now() + options_.check_interval;
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> ready{{{wake_.get(), POLLIN, 0}, {watch_.fd(), POLLIN, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(NextDue() - steady_clock::now());
    ::poll(ready.data(), ready.size(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (stop.stop_requested()) return;
    if (steady_clock::now() >= check_at) {
      watch_.CheckFolders();
      check_at = steady_clock::now() + options_.check_interval;
    }
    const FolderWatch::Happened happened = watch_.Take();
    const base::SteadyTime now = steady_clock::now();
    Postpone(happened, now);
    TellGap();
    LookAtDue(now);
  }
}

void StoreWatcher::Postpone(const FolderWatch::Happened& happened, base::SteadyTime now) {
  for (const EntryPlace& place : happened.written) due_[place] = now + options_.write_pause_max;
  for (const EntryPlace& place : happened.changed) due_[place] = now + options_.rest;
  if (happened.anything) {
    everything_ = true;
    everything_due_ = now + options_.rest;
  } else if (!watch_.gap().empty() && !everything_) {
    everything_ = true;
    everything_due_ = now + options_.rescan_interval;
  }
}

void StoreWatcher::LookAtDue(base::SteadyTime now) {
  std::set<EntryPlace> entries;
  for (auto at = due_.begin(); at != due_.end();) {
    if (at->second > now) {
      ++at;
      continue;
    }
    entries.insert(at->first);
    at = due_.erase(at);
  }
  if (everything_ && everything_due_ <= now) {
    everything_ = false;
    catalogue_.LookAtAll();
  } else if (!entries.empty()) {
    catalogue_.LookAt(entries);
  } else {
    return;
  }
  Tell();
}

void StoreWatcher::Tell() {
  const std::shared_ptr<const Listing> before = std::exchange(told_, catalogue_.listing());
  for (const EntryPlace& place : told_->unsettled) {
    due_.try_emplace(place, steady_clock::now() + options_.rescan_interval);
  }
  const std::vector<ModelChange> changes = ChangesBetween(*before, *told_);
  LogChanges(changes);
  LogProblems(*before, *told_);
  if (!changes.empty()) on_change_(changes);
}

void StoreWatcher::TellGap() {
  if (watch_.gap() == gap_told_) return;
  gap_told_ = watch_.gap();
  if (gap_told_.empty()) {
    base::Log("models").info("all folders of models are watched");
    return;
  }
  base::Log("models").warn(
      "not all folders of models can be watched, they are looked at every {} s instead: {}",
      std::chrono::duration_cast<std::chrono::seconds>(options_.rescan_interval).count(),
      gap_told_);
}

}  // namespace ncn::models
