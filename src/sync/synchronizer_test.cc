#include "sync/synchronizer.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sync/testing_synchronizer.h"
#include "transfer/testing_server.h"

namespace ncn::sync {
namespace {

namespace fs = std::filesystem;
using Kind = ModelOutcome::Kind;
using testing::HasSubstr;
using testing::SizeIs;

class SynchronizerTest : public SynchronizerFixture {};

TEST_F(SynchronizerTest, InstallsWhatIsMissingAndKeepsWhatIsThere) {
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(1))});
  const ModelOutcome first = RunOne();
  EXPECT_EQ(first.kind, Kind::kInstalled) << first.status;
  EXPECT_EQ(ReadAllOf(models() / "tiny_model.safetensors"), SafetensorsOf(1));
  EXPECT_TRUE(Serves("tiny"));
  EXPECT_EQ(RunOne().kind, Kind::kKept);
  Reopen();
  EXPECT_EQ(RunOne().kind, Kind::kKept);
  EXPECT_TRUE(fs::is_empty(folder_->staging())) << "something was left in staging";
}

TEST_F(SynchronizerTest, ReplacesAVersionAndDeletesTheOldOne) {
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(1))});
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  subnet_.models.clear();
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(2))}, "2");
  EXPECT_EQ(RunOne().kind, Kind::kInstalled);
  EXPECT_EQ(ReadAllOf(models() / "tiny_model.safetensors"), SafetensorsOf(2));
  EXPECT_TRUE(folder_->Retired()->empty());
}

TEST_F(SynchronizerTest, KeepsAnOldVersionWhileItIsInUse) {
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(1))});
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  auto lease = store_.Find(*inference::ModelId::Parse("tiny"));
  ASSERT_TRUE(lease.ok());
  subnet_.models.clear();
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(2))}, "2");
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  EXPECT_EQ(folder_->Retired()->size(), 1u);
  lease->reset();
  const auto freed = synchronizer_->CollectGarbage(true);
  ASSERT_TRUE(freed.ok());
  EXPECT_EQ(*freed, SafetensorsOf(1).size());
  EXPECT_EQ(folder_->Retired()->size(), 1u) << "a dry run deletes nothing";
  ASSERT_TRUE(synchronizer_->CollectGarbage().ok());
  EXPECT_TRUE(folder_->Retired()->empty());
}

TEST_F(SynchronizerTest, ReturnsToAnOldVersionWithoutFetchingIt) {
  options_.disk_budget_bytes = 1 << 20;
  Reopen();
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(1))});
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  const inference::SubnetModel first = subnet_.models[0];
  subnet_.models.clear();
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(2))}, "2");
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  fs::remove_all(published());
  subnet_.models = {first};
  const ModelOutcome back = RunOne();
  EXPECT_EQ(back.kind, Kind::kRestored) << back.status;
  EXPECT_EQ(ReadAllOf(models() / "tiny_model.safetensors"), SafetensorsOf(1));
}

TEST_F(SynchronizerTest, TakesAwayWhatTheSubnetNoLongerWantsAndNothingElse) {
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(1))});
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  WriteFile(models() / "mine.safetensors", SafetensorsOf(9));
  subnet_.models.clear();
  EXPECT_EQ(RunOne().kind, Kind::kRemoved);
  EXPECT_FALSE(Serves("tiny"));
  EXPECT_TRUE(Serves("mine"));
}

TEST_F(SynchronizerTest, AdoptsTheSameFilesAndRefusesOthersOfTheName) {
  Add("same", {Publish("same.safetensors", SafetensorsOf(1))});
  Add("other", {Publish("other.safetensors", SafetensorsOf(2))});
  WriteFile(models() / "same.safetensors", SafetensorsOf(1));
  WriteFile(models() / "other.safetensors", SafetensorsOf(3));
  const auto outcomes = Run();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].kind, Kind::kAdopted) << outcomes[0].status;
  EXPECT_EQ(outcomes[1].kind, Kind::kFailed);
  EXPECT_TRUE(absl::IsAlreadyExists(outcomes[1].status)) << outcomes[1].status;
  EXPECT_EQ(ReadAllOf(models() / "other.safetensors"), SafetensorsOf(3));
}

TEST_F(SynchronizerTest, FetchesAnewWhatSomebodyChanged) {
  Add("tiny", {Publish("tiny_model.safetensors", SafetensorsOf(1))});
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  WriteFile(models() / "tiny_model.safetensors", SafetensorsOf(5));
  EXPECT_EQ(RunOne().kind, Kind::kInstalled);
  EXPECT_EQ(ReadAllOf(models() / "tiny_model.safetensors"), SafetensorsOf(1));
}

TEST_F(SynchronizerTest, AWrongHashLeavesNothingVisibleAndSaysBothHashes) {
  auto file = Publish("tiny_model.safetensors", SafetensorsOf(1));
  const std::string wanted = Sha256Hex(SafetensorsOf(2));
  const std::string found = file.sha256;
  file.sha256 = wanted;
  Add("tiny", {file});
  const ModelOutcome outcome = RunOne();
  EXPECT_EQ(outcome.kind, Kind::kFailed);
  EXPECT_TRUE(absl::IsDataLoss(outcome.status)) << outcome.status;
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr(wanted));
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr(found));
  EXPECT_FALSE(fs::exists(models() / "tiny_model.safetensors"));
}

TEST_F(SynchronizerTest, OneModelThatFailsDoesNotHoldUpTheOthers) {
  auto lost = Publish("lost.safetensors", SafetensorsOf(1));
  fs::remove(published() / lost.sha256);
  Add("lost", {lost});
  Add("tiny", {Publish("tiny.safetensors", SafetensorsOf(2))});
  const auto outcomes = Run();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes[0].kind, Kind::kFailed);
  EXPECT_EQ(outcomes[1].kind, Kind::kInstalled) << outcomes[1].status;
}

TEST_F(SynchronizerTest, SkipsWhatThisMachineHasNoMemoryFor) {
  options_.memory_bytes = 1 << 20;
  Reopen();
  Add("large", {Publish("large.safetensors", SafetensorsOf(1))}).memory_bytes_min = 2 << 20;
  const ModelOutcome outcome = RunOne();
  EXPECT_EQ(outcome.kind, Kind::kSkipped);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("needs 2.0 MiB of memory"));
}

TEST_F(SynchronizerTest, TakesTheScriptThatTheSubnetNamesIntoTheModel) {
  inference::SubnetModel& model =
      Add("scripted", {Publish("w.safetensors", SafetensorsOf(1)), Publish("run.py", "print()\n")});
  model.executor_script = "run.py";
  const ModelOutcome outcome = RunOne();
  ASSERT_EQ(outcome.kind, Kind::kInstalled) << outcome.status;
  const auto found = store_.Find(*inference::ModelId::Parse("scripted"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->manifest.executor_script, "run.py");
  EXPECT_NE((*found)->tree_sha256, (*found)->sha256);
}

TEST_F(SynchronizerTest, RefusesAScriptThatIsNotThereAndAFormatThatIsAnother) {
  Add("scripted", {Publish("w.safetensors", SafetensorsOf(1))}).executor_script = "run.py";
  Add("wrong", {Publish("wrong.safetensors", SafetensorsOf(2))}).format = "onnx";
  const auto outcomes = Run();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_THAT(std::string(outcomes[0].status.message()), HasSubstr("run.py is not among"));
  EXPECT_THAT(std::string(outcomes[1].status.message()), HasSubstr("the subnet says onnx"));
  EXPECT_FALSE(Serves("scripted"));
  EXPECT_FALSE(Serves("wrong"));
}

TEST_F(SynchronizerTest, FetchesWhatTheStoreRefusesOnceOnly) {
  const std::string body = SafetensorsOf(1);
  transfer::TestServer server([&](const auto& request, auto& connection) {
    transfer::ServeRanges(body, request, connection);
  });
  inference::SubnetFile file = Publish("wrong.safetensors", body);
  file.sources = {server.Url("/f")};
  Add("wrong", {file}).format = "onnx";
  const ModelOutcome first = RunOne();
  EXPECT_THAT(std::string(first.status.message()), HasSubstr("the subnet says onnx"));
  ASSERT_THAT(server.requests(), SizeIs(1));
  // Another process finds the files and comes to its own conclusion,
  Reopen();
  EXPECT_EQ(RunOne().status, first.status);
  // which counts from then on, so that the room is free again.
  EXPECT_EQ(RunOne().status, first.status);
  EXPECT_TRUE(fs::is_empty(folder_->staging()));
  EXPECT_EQ(RunOne().status, first.status);
  EXPECT_THAT(server.requests(), SizeIs(1));
  subnet_.models[0].format = "safetensors";
  EXPECT_EQ(RunOne().kind, Kind::kInstalled);
}

TEST_F(SynchronizerTest, FetchesOnlyWhatWasAskedForAndNamesWhatIsUnknown) {
  Add("a", {Publish("a.safetensors", SafetensorsOf(1))});
  Add("b", {Publish("b.safetensors", SafetensorsOf(2))});
  const auto outcomes = Run({"b", "nothing"});
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_FALSE(Serves("a"));
  EXPECT_TRUE(Serves("b"));
  EXPECT_TRUE(std::any_of(outcomes.begin(), outcomes.end(), [](const ModelOutcome& outcome) {
    return outcome.model == "nothing" && absl::IsNotFound(outcome.status);
  }));
}

TEST_F(SynchronizerTest, CopiesNothingFromTheVersionBeforeThatTheReserveNeeds) {
  const auto pair = [&](const std::string& script) -> inference::SubnetModel& {
    inference::SubnetModel& model = Add(
        "pair", {Publish("w.safetensors", SafetensorsOf(1)), Publish("run.py", script)}, script);
    model.executor_script = "run.py";
    return model;
  };
  pair("1");
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  options_.download.disk_reserve_bytes = std::uint64_t{1} << 60;
  Reopen();
  subnet_.models.clear();
  pair("2");
  const ModelOutcome outcome = RunOne();
  EXPECT_TRUE(absl::IsResourceExhausted(outcome.status)) << outcome.status;
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("stay in reserve"));
  for (const auto& entry : fs::recursive_directory_iterator(folder_->staging())) {
    EXPECT_FALSE(entry.is_regular_file()) << entry.path();
  }
  EXPECT_EQ(ReadAllOf(models() / "pair" / "run.py"), "1");
}

TEST_F(SynchronizerTest, TakesFilesThatDidNotChangeFromTheVersionBefore) {
  Add("pair", {Publish("w.safetensors", SafetensorsOf(1)), Publish("run.py", "print(1)\n")})
      .executor_script = "run.py";
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  const inference::SubnetFile weights = subnet_.models[0].files[0];
  fs::remove(published() / weights.sha256);
  subnet_.models.clear();
  Add("pair", {weights, Publish("run.py", "print(2)\n")}, "2").executor_script = "run.py";
  const ModelOutcome outcome = RunOne();
  EXPECT_EQ(outcome.kind, Kind::kInstalled) << outcome.status;
  EXPECT_EQ(ReadAllOf(models() / "pair" / "run.py"), "print(2)\n");
}

}  // namespace
}  // namespace ncn::sync
