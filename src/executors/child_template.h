#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/synchronized.h"
#include "executors/ready_child.h"
#include "rewind/snapshot.h"
#include "sandbox/sandbox.h"

namespace ncn::executors {

// What further children of a model are made from, instead of loading it again: the snapshot of the
// first that did, which says nothing of any request. Thread-safe.
class ChildTemplate final : public SharedByChildren {
 public:
  // The snapshot for a child of this zygote; null when there is none.
  std::shared_ptr<rewind::Snapshot> For(const sandbox::Zygote& zygote) const;
  void Keep(const std::shared_ptr<sandbox::Zygote>& zygote,
            std::shared_ptr<rewind::Snapshot> snapshot);
  // None can be had of this model: its children load it, each for itself.
  void Refuse();
  bool refused() const;

  std::uint64_t memory_bytes() const override;
  bool wanted() const override;
  void Drop() override;

 private:
  struct State {
    std::weak_ptr<sandbox::Zygote> zygote;
    std::shared_ptr<rewind::Snapshot> snapshot;
    bool refused = false;
  };
  base::Synchronized<State> state_;
};

}  // namespace ncn::executors
