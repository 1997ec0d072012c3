#include "executors/child_template.h"

#include <utility>

namespace ncn::executors {

std::shared_ptr<rewind::Snapshot> ChildTemplate::For(const sandbox::Zygote& zygote) const {
  return state_.With([&](const State& state) -> std::shared_ptr<rewind::Snapshot> {
    return state.zygote.lock().get() == &zygote ? state.snapshot : nullptr;
  });
}

void ChildTemplate::Keep(const std::shared_ptr<sandbox::Zygote>& zygote,
                         std::shared_ptr<rewind::Snapshot> snapshot) {
  state_.With([&](State& state) {
    state.zygote = zygote;
    state.snapshot = std::move(snapshot);
  });
}

void ChildTemplate::Refuse() {
  state_.With([](State& state) { state = {.zygote = {}, .snapshot = nullptr, .refused = true}; });
}

bool ChildTemplate::refused() const {
  return state_.With([](const State& state) { return state.refused; });
}

std::uint64_t ChildTemplate::memory_bytes() const {
  return state_.With([](const State& state) {
    return state.snapshot == nullptr ? 0 : state.snapshot->memory_bytes();
  });
}

bool ChildTemplate::wanted() const {
  return state_.With(
      [](const State& state) { return state.snapshot == nullptr && !state.refused; });
}

void ChildTemplate::Drop() {
  // Its memory is given back outside of the lock.
  const auto snapshot = state_.With([](State& state) { return std::exchange(state.snapshot, {}); });
}

}  // namespace ncn::executors
