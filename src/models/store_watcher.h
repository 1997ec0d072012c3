#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "models/catalogue.h"
#include "models/folder_watch.h"
#include "models/store_folders.h"

namespace ncn::models {

// Keeps a catalogue up to date with the disk, on a thread of its own.
class StoreWatcher {
 public:
  struct Options {
    FolderWatch::Options watch;
    // An entry is looked at when nothing has happened to it for so long,
    std::chrono::milliseconds rest{100};
    // or for so long while somebody who has written to it has not closed it.
    std::chrono::milliseconds write_pause_max{5'000};
    // How often everything is looked at while not all can be watched, and what the machine, not
    // its content, kept from being read.
    std::chrono::milliseconds rescan_interval{10'000};
    // How often it is checked that the folders are still the same ones.
    std::chrono::milliseconds check_interval{1'000};
  };

  // Looks at everything before it returns. `folders` and `catalogue` outlive the watcher;
  // `on_change` is called on its thread.
  StoreWatcher(const StoreFolders& folders, Catalogue& catalogue,
               std::function<void(const std::vector<ModelChange>&)> on_change,
               const Options& options);
  StoreWatcher(const StoreFolders& folders, Catalogue& catalogue,
               std::function<void(const std::vector<ModelChange>&)> on_change)
      : StoreWatcher(folders, catalogue, std::move(on_change), Options()) {}
  ~StoreWatcher();
  StoreWatcher(const StoreWatcher&) = delete;
  StoreWatcher& operator=(const StoreWatcher&) = delete;

 private:
  void Run(std::stop_token stop);
  void Postpone(const FolderWatch::Happened& happened, base::SteadyTime now);
  void LookAtDue(base::SteadyTime now);
  // Tells what is new since the last time.
  void Tell();
  void TellGap();
  base::SteadyTime NextDue() const;

  Catalogue& catalogue_;
  const std::function<void(const std::vector<ModelChange>&)> on_change_;
  const Options options_;
  FolderWatch watch_;
  base::UniqueFd wake_;  // An eventfd, to stop.
  std::map<EntryPlace, base::SteadyTime> due_;
  bool everything_ = false;
  base::SteadyTime everything_due_;
  std::shared_ptr<const Listing> told_;
  std::string gap_told_;
  std::jthread thread_;  // Last: uses the rest.
};

}  // namespace ncn::models
