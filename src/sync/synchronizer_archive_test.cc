// Models that come as archives, and old versions that come back.

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sync/synchronizer.h"
#include "sync/testing_synchronizer.h"
#include "transfer/testing_archive.h"
#include "transfer/testing_file_size_limit.h"

namespace ncn::sync {
namespace {

namespace fs = std::filesystem;
using Kind = ModelOutcome::Kind;
using testing::HasSubstr;
using transfer::ArchiveFormat;
using transfer::TestEntry;

class SynchronizerArchiveTest : public SynchronizerFixture,
                                public testing::WithParamInterface<ArchiveFormat> {
 protected:
  // Old versions are kept.
  SynchronizerArchiveTest() {
    options_.disk_budget_bytes = 16 << 20;
    Reopen();
  }

  inference::SubnetFile PublishArchive(const std::vector<TestEntry>& entries) {
    const fs::path path = temporary_.path() / "archive";
    transfer::WriteArchive(path, entries, GetParam());
    inference::SubnetFile file = Publish("packed", ReadAllOf(path));
    file.unpack = true;
    return file;
  }
  // A model of an archive with weights and script, and of a file beside it.
  inference::SubnetModel& AddPacked(int seed) {
    inference::SubnetModel& model =
        Add("packed",
            {PublishArchive({{.path = "w.safetensors", .content = SafetensorsOf(seed)},
                             {.path = "run.py", .content = "print()\n"}}),
             Publish("words.txt", "words " + std::to_string(seed))},
            std::to_string(seed));
    model.executor_script = "run.py";
    return model;
  }
  // Both are there, then the first is wanted again.
  void InstallFirstAndSecond() {
    const inference::SubnetModel first = AddPacked(1);
    ASSERT_EQ(RunOne().kind, Kind::kInstalled);
    subnet_.models.clear();
    AddPacked(2);
    ASSERT_EQ(RunOne().kind, Kind::kInstalled);
    subnet_.models = {first};
  }
  // What is to be seen in the folder.
  std::vector<std::string> Visible() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(models())) {
      const std::string name = entry.path().filename();
      if (name != ".ncn") names.push_back(name);
    }
    return names;
  }
};

INSTANTIATE_TEST_SUITE_P(Formats, SynchronizerArchiveTest,
                         testing::Values(ArchiveFormat::kTarGz, ArchiveFormat::kZip),
                         [](const auto& info) {
                           return info.param == ArchiveFormat::kZip ? "Zip" : "TarGz";
                         });

TEST_P(SynchronizerArchiveTest, InstallsWhatIsInAnArchiveWithItsScript) {
  AddPacked(1);
  const ModelOutcome outcome = RunOne();
  ASSERT_EQ(outcome.kind, Kind::kInstalled) << outcome.status;
  const auto found = store_.Find(*inference::ModelId::Parse("packed"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->manifest.executor_script, "run.py");
  EXPECT_EQ(ReadAllOf(models() / "packed" / "w.safetensors"), SafetensorsOf(1));
  EXPECT_EQ(ReadAllOf(models() / "packed" / "words.txt"), "words 1");
  EXPECT_FALSE(fs::exists(models() / "packed" / "packed")) << "the archive itself";
  EXPECT_EQ(RunOne().kind, Kind::kKept);
  EXPECT_TRUE(fs::is_empty(folder_->staging()));
}

TEST_P(SynchronizerArchiveTest, RefusesAHostileArchiveAndShowsNothingOfIt) {
  Add("hostile", {PublishArchive({{.path = "w.safetensors", .content = SafetensorsOf(1)},
                                  {.path = "../../../escaped", .content = "out"}})});
  Add("tiny", {Publish("tiny.safetensors", SafetensorsOf(2))});
  const auto outcomes = Run();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_TRUE(absl::IsInvalidArgument(outcomes[0].status)) << outcomes[0].status;
  EXPECT_THAT(std::string(outcomes[0].status.message()), HasSubstr("../../../escaped"));
  EXPECT_EQ(outcomes[1].kind, Kind::kInstalled) << outcomes[1].status;
  EXPECT_THAT(Visible(), testing::ElementsAre("tiny.safetensors"));
  EXPECT_FALSE(fs::exists(models() / "escaped"));
  EXPECT_FALSE(fs::exists(models() / ".ncn" / "escaped"));
}

TEST_P(SynchronizerArchiveTest, UnpacksABombOnce) {
  options_.unpack.bytes_max = 1000;
  Reopen();
  Add("bomb", {PublishArchive({{.path = "w.safetensors", .content = SafetensorsOf(0, 10'000)}})});
  const ModelOutcome first = RunOne();
  EXPECT_TRUE(absl::IsOutOfRange(first.status)) << first.status;
  EXPECT_THAT(std::string(first.status.message()), HasSubstr("more than 1000 bytes"));
  EXPECT_THAT(Visible(), testing::IsEmpty());
  EXPECT_EQ(RunOne().status, first.status);
  EXPECT_TRUE(fs::is_empty(folder_->staging())) << "it was begun again";
}

TEST_P(SynchronizerArchiveTest, ShowsNothingOfWhatTheDiskHasNoRoomFor) {
  const std::string weights = SafetensorsOf(0, 1'000'000);
  Add("packed", {PublishArchive({{.path = "w.safetensors", .content = weights}})});
  Add("plain", {Publish("plain.safetensors", weights)});
  const transfer::FileSizeLimit limit;
  limit.Set(300'000);
  for (const ModelOutcome& outcome : Run()) {
    EXPECT_EQ(outcome.kind, Kind::kFailed);
    EXPECT_TRUE(absl::IsResourceExhausted(outcome.status)) << outcome.status;
  }
  EXPECT_THAT(Visible(), testing::IsEmpty());
  limit.Set(RLIM_INFINITY);
  for (const ModelOutcome& outcome : Run()) {
    EXPECT_EQ(outcome.kind, Kind::kInstalled) << outcome.status;
  }
}

TEST_P(SynchronizerArchiveTest, ReturnsToAnOldVersionWithoutFetchingIt) {
  InstallFirstAndSecond();
  fs::remove_all(published());
  const ModelOutcome back = RunOne();
  EXPECT_EQ(back.kind, Kind::kRestored) << back.status;
  EXPECT_EQ(ReadAllOf(models() / "packed" / "w.safetensors"), SafetensorsOf(1));
  EXPECT_EQ(RunOne().kind, Kind::kKept);
}

TEST_P(SynchronizerArchiveTest, FetchesAnOldVersionAnewThatSomebodyChanged) {
  for (const char* changed : {"words.txt", "w.safetensors"}) {
    subnet_.models.clear();
    fs::remove_all(models());
    Reopen();
    InstallFirstAndSecond();
    const fs::path file = folder_->Retired()->front().place / changed;
    std::string bytes = ReadAllOf(file);
    const std::string right = bytes;
    bytes.back() ^= 1;
    WriteFile(file, bytes);
    const ModelOutcome back = RunOne();
    EXPECT_EQ(back.kind, Kind::kInstalled) << back.status;
    EXPECT_EQ(ReadAllOf(models() / "packed" / changed), right);
  }
}

class SynchronizerRestoreTest : public SynchronizerFixture {};

TEST_F(SynchronizerRestoreTest, ReturnsToAnOldVersionWhoseManifestWasMade) {
  options_.disk_budget_bytes = 16 << 20;
  Reopen();
  const auto add = [&](int seed) -> inference::SubnetModel& {
    inference::SubnetModel& model =
        Add("scripted", {Publish("w.safetensors", SafetensorsOf(seed)), Publish("run.py", "1\n")},
            std::to_string(seed));
    model.executor_script = "run.py";
    return model;
  };
  const inference::SubnetModel first = add(1);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  subnet_.models.clear();
  add(2);
  ASSERT_EQ(RunOne().kind, Kind::kInstalled);
  subnet_.models = {first};
  fs::remove_all(published());
  const ModelOutcome back = RunOne();
  EXPECT_EQ(back.kind, Kind::kRestored) << back.status;
}

}  // namespace
}  // namespace ncn::sync
