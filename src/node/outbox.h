#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "inference/inference_response.h"

namespace ncn::node {

// The answers that no gateway has acknowledged yet. Thread-safe.
class Outbox {
 public:
  struct Usage {
    std::size_t count = 0;
    std::uint64_t bytes = 0;  // Outputs and attestations.
  };

  virtual ~Outbox() = default;

  // Keeps `response` until it is removed. An answer that is kept already stays as it is. Never
  // refuses for want of room, since the work has been done: HasRoom holds back the next request.
  virtual absl::Status Put(std::shared_ptr<const inference::InferenceResponse> response) = 0;
  // Null when there is none.
  virtual std::shared_ptr<const inference::InferenceResponse> Find(
      const inference::RequestId& id) const = 0;
  // Forgets an answer that has been acknowledged; nothing happens when there is none.
  virtual void Remove(const inference::RequestId& id) = 0;
  // Oldest first.
  virtual std::vector<inference::RequestId> Pending() const = 0;
  virtual Usage usage() const = 0;
  // Whether further work should be accepted.
  virtual bool HasRoom() const = 0;
};

// Keeps answers in memory. What it holds is at most its limits plus what was accepted before they
// were reached, which the node's slots and queue bound.
class MemoryOutbox final : public Outbox {
 public:
  struct Limits {
    std::size_t count_max = 4096;
    std::uint64_t bytes_max = 1ULL << 30;
  };

  explicit MemoryOutbox(const Limits& limits) : limits_(limits) {}

  absl::Status Put(std::shared_ptr<const inference::InferenceResponse> response) override;
  std::shared_ptr<const inference::InferenceResponse> Find(
      const inference::RequestId& id) const override;
  void Remove(const inference::RequestId& id) override;
  std::vector<inference::RequestId> Pending() const override;
  Usage usage() const override;
  bool HasRoom() const override;

 private:
  using Sequence = std::uint64_t;

  const Limits limits_;
  mutable std::mutex mutex_;
  std::map<inference::RequestId, Sequence> by_id_;
  std::map<Sequence, std::shared_ptr<const inference::InferenceResponse>> by_age_;
  Sequence next_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace ncn::node
