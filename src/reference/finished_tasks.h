#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "wire/task_update.h"

namespace ncn::reference {

// Tasks with their final answers, by id: the latest, within limits of number, size and age. Not
// thread-safe.
class FinishedTasks {
 public:
  struct Limits {
    std::size_t count_max = 10000;
    std::uint64_t bytes_max = 1ULL << 30;
    std::chrono::milliseconds age_max{std::chrono::minutes(10)};
  };

  explicit FinishedTasks(const Limits& limits) : limits_(limits) {}

  // `update` is final. Replaces what is there under the same id. `input_hash` is that of the task's
  // request, so that the id is not answered for another question.
  void Add(wire::TaskUpdate update, std::size_t input_hash, base::SteadyTime now);
  // Null when there is none (any more).
  const wire::TaskUpdate* Find(const std::string& request_id) const;
  std::optional<std::size_t> InputHash(const std::string& request_id) const;
  std::optional<wire::TaskUpdate> Take(const std::string& request_id);
  void Expire(base::SteadyTime now);

 private:
  struct Entry {
    wire::TaskUpdate update;
    std::size_t input_hash = 0;
    base::SteadyTime added;
    std::uint64_t bytes = 0;
  };
  using Entries = std::list<Entry>;  // Oldest first.

  void Remove(Entries::iterator entry);

  const Limits limits_;
  Entries entries_;
  std::map<std::string, Entries::iterator> by_id_;
  std::uint64_t bytes_ = 0;
};

}  // namespace ncn::reference
