#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "registry/registry_client.h"

namespace ncn::registry {

// How a node stands with one registry.
struct AnnouncementState {
  std::string registry;
  bool registered = false;
  std::string last_error;            // Of the last call; empty when it went well.
  std::uint64_t subnet_version = 0;  // What it said last; 0: nothing yet.
};

struct AnnouncerOptions {
  std::chrono::milliseconds retry_min{500};    // Doubles while a registry is away,
  std::chrono::milliseconds retry_max{60000};  // up to this; each wait is shortened at random.
};

// Keeps a node registered at several registries for as long as it exists: registers, sends a
// heartbeat at a third of the time to live, registers anew where the registry has forgotten it,
// waits ever longer where there is none, takes the announcements back at the end. One thread, which
// calls every callback; a registry that hangs holds up the others for no longer than the call
// time-out of its client. Thread-safe.
class Announcer {
 public:
  struct Callbacks {
    std::function<Presentation()> describe;
    SignChallenge sign;
    // A registry named a version of the subnet's metadata, its first or another than before.
    std::function<void(const std::string& registry, std::uint64_t version)> on_subnet_version;
    // A registry took the node (OK), or no longer has it, or cannot be reached; told once for each
    // change.
    std::function<void(const std::string& registry, const absl::Status&)> on_change;
  };

  Announcer(std::vector<std::unique_ptr<RegistryClient>> registries,
            const AnnouncerOptions& options, Callbacks callbacks);
  // Deregisters. Takes up to the clients' call time-outs.
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  // Tells the registries at once: the node has changed, in its models for example.
  void Refresh();

  std::vector<AnnouncementState> states() const;

 private:
  struct Entry;

  void Run(std::stop_token stop);
  void Attend(Entry& entry);
  void Note(Entry& entry, const absl::Status& status);

  const AnnouncerOptions options_;
  const Callbacks callbacks_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool refresh_ = false;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::jthread thread_;  // Last: it uses all else.
};

}  // namespace ncn::registry
