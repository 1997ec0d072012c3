#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/synchronized.h"
#include "inference/failure.h"

namespace ncn::telemetry {

// How many executions there were and how long they took.
struct ExecutionCounts {
  std::uint64_t total = 0;
  std::uint64_t successful = 0;
  std::uint64_t failed = 0;
  std::chrono::microseconds time{0};  // Of all of them together.
  std::chrono::microseconds longest{0};

  std::chrono::microseconds average() const {
    return total == 0 ? std::chrono::microseconds(0)
                      : time / static_cast<std::chrono::microseconds::rep>(total);
  }
};

// The statistics at one moment. A plain value.
struct StatisticsSnapshot {
  std::chrono::seconds uptime{0};
  ExecutionCounts all;
  std::map<std::string, ExecutionCounts> models;
  std::map<std::string, std::uint64_t> failures;  // By FailureKind name.
};

// Counts finished executions. Thread-safe. Keeps at most kModelsMax models apart; executions of
// further ones are counted under "(other)", so that made-up names cannot fill memory.
class ExecutionStatistics {
 public:
  static constexpr std::size_t kModelsMax = 4096;

  explicit ExecutionStatistics(const base::Clock& clock)
      : clock_(clock), started_(clock.SteadyNow()) {}

  // `failure` is empty for a successful execution.
  void Record(std::string_view model, std::optional<inference::FailureKind> failure,
              std::chrono::microseconds duration);

  StatisticsSnapshot Snapshot() const;

 private:
  const base::Clock& clock_;
  const base::SteadyTime started_;
  base::Synchronized<StatisticsSnapshot> state_;
};

// The snapshot as one JSON object; durations in milliseconds.
std::string ToJson(const StatisticsSnapshot& snapshot);
// Reads what ToJson wrote. InvalidArgument for anything else.
absl::StatusOr<StatisticsSnapshot> SnapshotFromJson(std::string_view text);

// The snapshot as a table for people.
std::string ToText(const StatisticsSnapshot& snapshot);

}  // namespace ncn::telemetry
