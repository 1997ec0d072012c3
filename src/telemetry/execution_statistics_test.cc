#include "telemetry/execution_statistics.h"

#include <nlohmann/json.hpp>

#include "base/fake_clock.h"
#include "gtest/gtest.h"

namespace ncn::telemetry {
namespace {

using inference::FailureKind;
using std::chrono::milliseconds;

TEST(ExecutionStatisticsTest, CountsTotalsAndPerModel) {
  base::FakeClock clock;
  ExecutionStatistics statistics(clock);
  statistics.Record("digits", std::nullopt, milliseconds(10));
  statistics.Record("digits", FailureKind::kTimeout, milliseconds(30));
  statistics.Record("bark", std::nullopt, milliseconds(20));
  clock.Advance(std::chrono::seconds(7));

  const StatisticsSnapshot snapshot = statistics.Snapshot();
  EXPECT_EQ(snapshot.all.total, 3u);
  EXPECT_EQ(snapshot.all.successful, 2u);
  EXPECT_EQ(snapshot.all.failed, 1u);
  EXPECT_EQ(snapshot.all.average(), milliseconds(20));
  EXPECT_EQ(snapshot.models.at("digits").longest, milliseconds(30));
  EXPECT_EQ(snapshot.failures.at("TIMEOUT"), 1u);
  EXPECT_EQ(snapshot.uptime, std::chrono::seconds(7));
}

TEST(ExecutionStatisticsTest, MadeUpModelNamesCannotFillMemory) {
  ExecutionStatistics statistics(base::Clock::System());
  for (std::size_t i = 0; i < ExecutionStatistics::kModelsMax + 10; ++i) {
    statistics.Record(std::to_string(i), FailureKind::kModelNotFound, milliseconds(1));
  }
  const StatisticsSnapshot snapshot = statistics.Snapshot();
  EXPECT_EQ(snapshot.models.size(), ExecutionStatistics::kModelsMax + 1);
  EXPECT_EQ(snapshot.models.at("(other)").total, 10u);
}

TEST(ExecutionStatisticsTest, PrintsAsJsonAndText) {
  ExecutionStatistics statistics(base::Clock::System());
  statistics.Record("digits", FailureKind::kMemoryLimit, milliseconds(12));
  const auto json = nlohmann::json::parse(ToJson(statistics.Snapshot()));
  EXPECT_EQ(json["models"]["digits"]["failed"], 1);
  EXPECT_EQ(json["average_ms"], 12.0);
  EXPECT_EQ(ToJson(*SnapshotFromJson(ToJson(statistics.Snapshot()))), json.dump(2));
  EXPECT_FALSE(SnapshotFromJson("[]").ok());
  EXPECT_FALSE(SnapshotFromJson(R"({"models":7})").ok());
  const std::string text = ToText(statistics.Snapshot());
  EXPECT_NE(text.find("digits"), std::string::npos);
  EXPECT_NE(text.find("failed as MEMORY_LIMIT: 1"), std::string::npos);
}

}  // namespace
}  // namespace ncn::telemetry
