#include "reference/finished_tasks.h"

#include <utility>

namespace ncn::reference {
namespace {

std::uint64_t Bytes(const wire::TaskUpdate& update) {
  constexpr std::uint64_t kOverhead = 4096;  // Texts and bookkeeping, roughly.
  return kOverhead + (update.response->ok() ? update.response->result().output.bytes.size() : 0);
}

}  // namespace

void FinishedTasks::Add(wire::TaskUpdate update, std::size_t input_hash, base::SteadyTime now) {
  if (const auto found = by_id_.find(update.request_id); found != by_id_.end()) {
    Remove(found->second);
  }
  const std::uint64_t bytes = Bytes(update);
  entries_.push_back({std::move(update), input_hash, now, bytes});
  by_id_[entries_.back().update.request_id] = std::prev(entries_.end());
  bytes_ += bytes;
  // The newest always stays: whoever waits for it must get it, whatever its size.
  while (entries_.size() > 1 &&
         (entries_.size() > limits_.count_max || bytes_ > limits_.bytes_max)) {
    Remove(entries_.begin());
  }
}

const wire::TaskUpdate* FinishedTasks::Find(const std::string& request_id) const {
  const auto found = by_id_.find(request_id);
  return found == by_id_.end() ? nullptr : &found->second->update;
}

std::optional<std::size_t> FinishedTasks::InputHash(const std::string& request_id) const {
  const auto found = by_id_.find(request_id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second->input_hash;
}

std::optional<wire::TaskUpdate> FinishedTasks::Take(const std::string& request_id) {
  const auto found = by_id_.find(request_id);
  if (found == by_id_.end()) return std::nullopt;
  wire::TaskUpdate update = found->second->update;
  Remove(found->second);
  return update;
}

void FinishedTasks::Expire(base::SteadyTime now) {
  while (!entries_.empty() && now - entries_.front().added > limits_.age_max) {
    Remove(entries_.begin());
  }
}

void FinishedTasks::Remove(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_id_.erase(entry->update.request_id);
  entries_.erase(entry);
}

}  // namespace ncn::reference
