#include "node/outbox.h"

#include <utility>

namespace ncn::node {
namespace {

std::uint64_t Bytes(const inference::InferenceResponse& response) {
  std::uint64_t bytes = response.signature.completion_validation.size();
  if (response.ok()) bytes += response.result().output.bytes.size();
  return bytes;
}

}  // namespace

absl::Status MemoryOutbox::Put(std::shared_ptr<const inference::InferenceResponse> response) {
  std::lock_guard lock(mutex_);
  if (!by_id_.try_emplace(response->request_id, next_).second) return absl::OkStatus();
  bytes_ += Bytes(*response);
  by_age_.emplace(next_++, std::move(response));
  return absl::OkStatus();
}

std::shared_ptr<const inference::InferenceResponse> MemoryOutbox::Find(
    const inference::RequestId& id) const {
  std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : by_age_.at(found->second);
}

void MemoryOutbox::Remove(const inference::RequestId& id) {
  std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  const auto entry = by_age_.find(found->second);
  bytes_ -= Bytes(*entry->second);
  by_age_.erase(entry);
  by_id_.erase(found);
}

std::vector<inference::RequestId> MemoryOutbox::Pending() const {
  std::lock_guard lock(mutex_);
  std::vector<inference::RequestId> ids;
  ids.reserve(by_age_.size());
  for (const auto& [sequence, response] : by_age_) ids.push_back(response->request_id);
  return ids;
}

Outbox::Usage MemoryOutbox::usage() const {
  std::lock_guard lock(mutex_);
  return {by_id_.size(), bytes_};
}

bool MemoryOutbox::HasRoom() const {
  std::lock_guard lock(mutex_);
  return by_id_.size() < limits_.count_max && bytes_ < limits_.bytes_max;
}

}  // namespace ncn::node
