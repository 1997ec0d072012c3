#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/clock.h"
#include "grpcpp/support/server_callback.h"

namespace ncn::reference {

// The streams of files that are under way: at most so many, and none that stands still for long.
// Thread-safe.
class Transfers {
 public:
  Transfers(std::size_t transfers_max, std::chrono::milliseconds idle_max, const base::Clock& clock)
      : transfers_max_(transfers_max), idle_max_(idle_max), clock_(clock) {}

  // A place among the transfers, held by a call for as long as it lasts.
  class Place {
   public:
    ~Place() {
      std::lock_guard lock(transfers_.mutex_);
      transfers_.places_.erase(this);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // Something moved.
    void Touch() {
      std::lock_guard lock(transfers_.mutex_);
      touched_ = transfers_.clock_.SteadyNow();
    }

   private:
    friend class Transfers;
    Place(Transfers& transfers, grpc::CallbackServerContext& context)
        : transfers_(transfers), context_(context), touched_(transfers.clock_.SteadyNow()) {}

    Transfers& transfers_;
    grpc::CallbackServerContext& context_;
    base::SteadyTime touched_;
  };

  // Null when there are as many as there may be. The context outlives the place.
  std::unique_ptr<Place> Enter(grpc::CallbackServerContext& context) {
    std::lock_guard lock(mutex_);
    if (places_.size() >= transfers_max_) return nullptr;
    std::unique_ptr<Place> place(new Place(*this, context));
    places_.insert(place.get());
    return place;
  }

  // Cancels those that stand still. A call may end within TryCancel, on this thread.
  void Tick() {
    std::lock_guard lock(mutex_);
    for (Place* place : std::vector<Place*>(places_.begin(), places_.end())) {
      if (places_.contains(place) && clock_.SteadyNow() - place->touched_ > idle_max_) {
        place->context_.TryCancel();
      }
    }
  }

 private:
  const std::size_t transfers_max_;
  const std::chrono::milliseconds idle_max_;
  const base::Clock& clock_;
  std::recursive_mutex mutex_;
  std::set<Place*> places_;
};

}  // namespace ncn::reference
