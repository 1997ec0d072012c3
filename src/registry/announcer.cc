#include "registry/announcer.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/strings.h"

namespace ncn::registry {

using Clock = std::chrono::steady_clock;

// One registry. `state` is under the announcer's mutex; the rest is its thread's.
struct Announcer::Entry {
  explicit Entry(std::unique_ptr<RegistryClient> registry) : client(std::move(registry)) {
    state.registry = client->address();
  }

  const std::unique_ptr<RegistryClient> client;
  std::string token;  // Empty: not registered.
  std::chrono::milliseconds interval{0};
  std::chrono::milliseconds wait{0};  // Before the next attempt; 0: the last one went well.
  Clock::time_point due = Clock::now();
  bool told = false;  // Whether on_change has heard anything yet.
  AnnouncementState state;
};

Announcer::Announcer(std::vector<std::unique_ptr<RegistryClient>> registries,
                     const AnnouncerOptions& options, Callbacks callbacks)
    : options_(options), callbacks_(std::move(callbacks)) {
  for (auto& registry : registries) {
    entries_.push_back(std::make_unique<Entry>(std::move(registry)));
  }
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

Announcer::~Announcer() = default;

void Announcer::Refresh() {
  {
    std::lock_guard lock(mutex_);
    refresh_ = true;
  }
  changed_.notify_all();
}

std::vector<AnnouncementState> Announcer::states() const {
  std::lock_guard lock(mutex_);
  std::vector<AnnouncementState> states;
  for (const auto& entry : entries_) states.push_back(entry->state);
  return states;
}

void Announcer::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Clock::time_point next = Clock::now() + options_.retry_max;
    for (const auto& entry : entries_) {
      if (stop.stop_requested()) break;
      if (entry->due <= Clock::now()) Attend(*entry);
      next = std::min(next, entry->due);
    }
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, stop, next, [this] { return refresh_; });
    if (!std::exchange(refresh_, false)) continue;
    for (const auto& entry : entries_) {
      if (!entry->token.empty()) entry->due = Clock::now();
    }
  }
  for (const auto& entry : entries_) {
    // Whether it hears of it or not, it forgets the node when the time to live is over.
    if (!entry->token.empty()) entry->client->DeregisterNode(entry->token).IgnoreError();
  }
}

void Announcer::Attend(Entry& entry) {
  const Presentation node = callbacks_.describe();
  if (entry.token.empty()) {
    auto registration = entry.client->RegisterNode(node, callbacks_.sign);
    if (!registration.ok()) return Note(entry, registration.status());
    entry.token = std::move(registration->token);
    entry.interval = std::chrono::milliseconds(registration->time_to_live) / 3;
  }
  const auto version = entry.client->UpdateNodeHeartbeat(entry.token, node.info);
  if (!version.ok()) {
    // Whatever else it is, the registration is good until the registry says that it is not.
    if (absl::IsUnauthenticated(version.status())) entry.token.clear();
    return Note(entry, version.status());
  }
  Note(entry, absl::OkStatus());
  const bool is_new = [&] {
    std::lock_guard lock(mutex_);
    return std::exchange(entry.state.subnet_version, *version) != *version;
  }();
  if (is_new && callbacks_.on_subnet_version) {
    callbacks_.on_subnet_version(entry.client->address(), *version);
  }
}

void Announcer::Note(Entry& entry, const absl::Status& status) {
  if (status.ok()) {
    entry.wait = std::chrono::milliseconds(0);
    entry.due = Clock::now() + entry.interval;
  } else {
    static thread_local std::mt19937_64 random{std::random_device()()};
    std::uniform_real_distribution<double> part(0.5, 1.0);
    entry.wait = std::clamp(entry.wait * 2, options_.retry_min, options_.retry_max);
    entry.due =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(entry.wait * part(random));
  }
  bool changed = !entry.told;
  {
    std::lock_guard lock(mutex_);
    changed = changed || entry.state.registered != status.ok();
    entry.state.registered = status.ok();
    entry.state.last_error = std::string(status.message());
  }
  entry.told = true;
  if (changed && callbacks_.on_change) callbacks_.on_change(entry.client->address(), status);
}

}  // namespace ncn::registry
