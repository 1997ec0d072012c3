#include "sync/sync_report.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::sync {
namespace {

using testing::HasSubstr;

SyncState Busy() {
  SyncState state{.running = true, .subnet_version = 7, .finished_seconds = 1};
  state.outcomes = {{.kind = ModelOutcome::Kind::kKept, .model = "good", .version = "1"},
                    {.kind = ModelOutcome::Kind::kFailed,
                     .model = "bad",
                     .version = "2",
                     .status = absl::DataLossError("no such\nfile")}};
  state.progress.total = {.name = "total", .size_bytes = 4096, .present_bytes = 1024};
  state.progress.files = {{.name = "bad/file", .size_bytes = 4096, .present_bytes = 1024}};
  state.counts = {.passes = 3,
                  .failed_passes = 1,
                  .installed_models = 1,
                  .failed_models = 2,
                  .transfer = {.fetched_bytes = 5120,
                               .fetched_files = 1,
                               .failed_files = 2,
                               .retries = 9,
                               .wrong_hashes = 4}};
  return state;
}

TEST(SyncReportTest, HasTheProgressOfThePassAndTheCountsSinceTheStart) {
  const auto object = nlohmann::json::parse(ToJson(Busy()));
  EXPECT_EQ(object["total"]["present_bytes"], 1024);
  EXPECT_EQ(object["files"][0]["name"], "bad/file");
  EXPECT_EQ(object["models"][1]["outcome"], "failed");
  EXPECT_EQ(object["counts"]["fetched_bytes"], 5120);
  EXPECT_EQ(object["counts"]["failed_files"], 2);
  EXPECT_EQ(object["counts"]["retries"], 9);
  EXPECT_EQ(object["counts"]["wrong_hashes"], 4);
}

TEST(SyncReportTest, SaysTheSameInLinesForPeople) {
  const std::string text = TextOfJson(ToJson(Busy()));
  EXPECT_THAT(text, HasSubstr("Subnet version 7: 1 of 2 models are in order\n"));
  EXPECT_THAT(text, HasSubstr("  bad 2: failed: no such?file\n"));
  EXPECT_THAT(text, HasSubstr("  now: 1.0 KiB of 4.0 KiB (25 %)"));
  EXPECT_THAT(text,
              HasSubstr("3 passes, 1 of them failed; 5.0 KiB fetched, 1 files whole, 2 failed, "
                        "9 retries, 4 wrong hashes"));
  SyncState lost;
  EXPECT_THAT(TextOfJson(ToJson(lost)), HasSubstr("not synchronised yet"));
  lost.last_error = "nobody answers";
  EXPECT_THAT(TextOfJson(ToJson(lost)), HasSubstr("not synchronised: nobody answers"));
}

TEST(SyncReportTest, SaysNothingOfWhatIsNoReport) {
  for (const char* text : {"", "null", "[]", "{}", "{\"counts\": 1}", "nonsense"}) {
    EXPECT_EQ(TextOfJson(text), "") << text;
  }
}

}  // namespace
}  // namespace ncn::sync
