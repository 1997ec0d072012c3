#include "telemetry/execution_statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "base/strings.h"

namespace ncn::telemetry {
namespace {

void Add(ExecutionCounts& counts, bool successful, std::chrono::microseconds duration) {
  ++counts.total;
  ++(successful ? counts.successful : counts.failed);
  counts.time += duration;
  counts.longest = std::max(counts.longest, duration);
}

double Milliseconds(std::chrono::microseconds duration) {
  return static_cast<double>(duration.count()) / 1000.0;
}

nlohmann::json JsonOf(const ExecutionCounts& counts) {
  return {{"total", counts.total},
          {"successful", counts.successful},
          {"failed", counts.failed},
          {"time_ms", Milliseconds(counts.time)},
          {"average_ms", Milliseconds(counts.average())},
          {"longest_ms", Milliseconds(counts.longest)}};
}

ExecutionCounts CountsFrom(const nlohmann::json& json) {
  const auto number = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? found->get<double>() : 0.0;
  };
  const auto microseconds = [](double milliseconds) {
    return std::chrono::microseconds(static_cast<std::int64_t>(milliseconds * 1000));
  };
  ExecutionCounts counts;
  counts.total = static_cast<std::uint64_t>(number("total"));
  counts.successful = static_cast<std::uint64_t>(number("successful"));
  counts.failed = static_cast<std::uint64_t>(number("failed"));
  counts.time = microseconds(number("time_ms"));
  counts.longest = microseconds(number("longest_ms"));
  return counts;
}

std::string Row(const std::string& name, const ExecutionCounts& counts) {
  return absl::StrFormat("%-32s %10d %10d %10d %12.1f %12.1f\n", name, counts.total,
                         counts.successful, counts.failed, Milliseconds(counts.average()),
                         Milliseconds(counts.longest));
}

}  // namespace

void ExecutionStatistics::Record(std::string_view model,
                                 std::optional<inference::FailureKind> failure,
                                 std::chrono::microseconds duration) {
  state_.With([&](StatisticsSnapshot& state) {
    Add(state.all, !failure.has_value(), duration);
    std::string name(model);
    if (!state.models.contains(name) && state.models.size() >= kModelsMax) name = "(other)";
    Add(state.models[name], !failure.has_value(), duration);
    if (failure) ++state.failures[std::string(inference::Name(*failure))];
  });
}

StatisticsSnapshot ExecutionStatistics::Snapshot() const {
  StatisticsSnapshot snapshot = state_.With([](const StatisticsSnapshot& state) { return state; });
  snapshot.uptime = std::chrono::duration_cast<std::chrono::seconds>(clock_.SteadyNow() - started_);
  return snapshot;
}

std::string ToJson(const StatisticsSnapshot& snapshot) {
  nlohmann::json models = nlohmann::json::object();
  for (const auto& [name, counts] : snapshot.models) models[name] = JsonOf(counts);
  nlohmann::json json = JsonOf(snapshot.all);
  json["uptime_seconds"] = snapshot.uptime.count();
  json["models"] = std::move(models);
  json["failures"] = snapshot.failures;
  return json.dump(2);
}

absl::StatusOr<StatisticsSnapshot> SnapshotFromJson(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("models") || !json["models"].is_object() ||
      !json.contains("failures") || !json["failures"].is_object() ||
      !json.contains("uptime_seconds") || !json["uptime_seconds"].is_number_integer()) {
    return absl::InvalidArgumentError("these are no execution statistics");
  }
  StatisticsSnapshot snapshot;
  snapshot.uptime = std::chrono::seconds(json["uptime_seconds"].get<std::int64_t>());
  snapshot.all = CountsFrom(json);
  for (const auto& [name, counts] : json["models"].items()) {
    if (counts.is_object()) snapshot.models[name] = CountsFrom(counts);
  }
  for (const auto& [name, count] : json["failures"].items()) {
    if (count.is_number_unsigned()) snapshot.failures[name] = count.get<std::uint64_t>();
  }
  return snapshot;
}

std::string ToText(const StatisticsSnapshot& snapshot) {
  std::string text = absl::StrFormat(
      "Executions in %d s of uptime\n\n%-32s %10s %10s %10s %12s %12s\n", snapshot.uptime.count(),
      "model", "total", "successful", "failed", "average ms", "longest ms");
  for (const auto& [name, counts] : snapshot.models) text += Row(name, counts);
  text += Row("all", snapshot.all);
  for (const auto& [name, count] : snapshot.failures) {
    text += absl::StrFormat("%sfailed as %s: %d\n",
                            name == snapshot.failures.begin()->first ? "\n" : "", name, count);
  }
  return text;
}

}  // namespace ncn::telemetry
