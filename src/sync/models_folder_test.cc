#include "sync/models_folder.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sync/testing_models.h"

namespace ncn::sync {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ModelsFolderTest : public testing::Test {
 protected:
  std::unique_ptr<ModelsFolder> Open() {
    auto opened = ModelsFolder::Open(folder_.path() / "models");
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  // A file in staging that is a version of the model "tiny".
  fs::path Make(ModelsFolder& folder, int seed) {
    const fs::path made = folder.staging() / "made.safetensors";
    WriteFile(made, SafetensorsOf(seed));
    return made;
  }
  InstalledModel Tiny(int seed) {
    return {.model = "tiny",
            .subnet_id = 1,
            .version = std::to_string(seed),
            .content_id = "content" + std::to_string(seed),
            .entry = "tiny_model.safetensors",
            .tree_sha256 = Sha256Hex(SafetensorsOf(seed)),
            .size_bytes = SafetensorsOf(seed).size()};
  }
  fs::path Entry() { return folder_.path() / "models" / "tiny_model.safetensors"; }

  TemporaryFolder folder_;
};

TEST_F(ModelsFolderTest, RemembersWhatWasInstalledOverRestarts) {
  {
    auto folder = Open();
    ASSERT_TRUE(folder->Install(Make(*folder, 1), Tiny(1)).ok());
  }
  const auto folder = Open();
  const auto found = folder->Find("tiny");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->version, "1");
  EXPECT_EQ((*found)->entry, "tiny_model.safetensors");
  EXPECT_GT((*found)->since_seconds, 0);
}

TEST_F(ModelsFolderTest, KeepsTheVersionThatWasReplaced) {
  auto folder = Open();
  ASSERT_TRUE(folder->Install(Make(*folder, 1), Tiny(1)).ok());
  ASSERT_TRUE(folder->Install(Make(*folder, 2), Tiny(2)).ok());
  EXPECT_EQ(ReadAllOf(Entry()), SafetensorsOf(2));
  const auto retired = folder->Retired();
  ASSERT_TRUE(retired.ok());
  ASSERT_EQ(retired->size(), 1u);
  EXPECT_EQ(ReadAllOf(retired->front().place), SafetensorsOf(1));
  EXPECT_EQ(retired->front().was.version, "1");
}

TEST_F(ModelsFolderTest, PutsNothingOverWhatWasNotSynchronised) {
  auto folder = Open();
  WriteFile(Entry(), "mine");
  const absl::Status status = folder->Install(Make(*folder, 1), Tiny(1));
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("move it away"));
  EXPECT_EQ(ReadAllOf(Entry()), "mine");
}

TEST_F(ModelsFolderTest, GivesTheFolderToOneProcessOnly) {
  const auto first = Open();
  const auto second = ModelsFolder::Open(folder_.path() / "models");
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("pid " + std::to_string(::getpid())));
}

TEST_F(ModelsFolderTest, UndoesAReplacementThatNeverTookPlace) {
  {
    auto folder = Open();
    ASSERT_TRUE(folder->Install(Make(*folder, 1), Tiny(1)).ok());
    // What cannot be moved ends the replacement after it was noted, as a crash would.
    EXPECT_FALSE(folder->Install(folder->staging() / "nothing", Tiny(2)).ok());
  }
  const auto folder = Open();
  const auto found = folder->Find("tiny");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->version, "1");
  EXPECT_EQ(ReadAllOf(Entry()), SafetensorsOf(1));
  EXPECT_TRUE(folder->Retired()->empty());
}

TEST_F(ModelsFolderTest, CompletesAReplacementThatTookPlaceBeforeACrash) {
  {
    auto folder = Open();
    ASSERT_TRUE(folder->Install(Make(*folder, 1), Tiny(1)).ok());
    EXPECT_FALSE(folder->Install(folder->staging() / "nothing", Tiny(2)).ok());
    // As after the exchange: the new version in place, the old one still in staging.
    WriteFile(Entry(), SafetensorsOf(2));
  }
  const auto folder = Open();
  const auto found = folder->Find("tiny");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->version, "2");
}

TEST_F(ModelsFolderTest, RetiresRevivesAndDeletes) {
  auto folder = Open();
  ASSERT_TRUE(folder->Install(Make(*folder, 1), Tiny(1)).ok());
  ASSERT_TRUE(folder->Retire("tiny").ok());
  EXPECT_FALSE(fs::exists(Entry()));
  EXPECT_TRUE(absl::IsNotFound(folder->Retire("tiny")));
  const fs::path made = folder->staging() / "revived";
  ASSERT_TRUE(folder->Revive(folder->Retired()->front(), made).ok());
  EXPECT_EQ(ReadAllOf(made), SafetensorsOf(1));
  EXPECT_TRUE(folder->Retired()->empty());
  ASSERT_TRUE(folder->Install(made, Tiny(1)).ok());
  ASSERT_TRUE(folder->Retire("tiny").ok());
  const RetiredModel retired = folder->Retired()->front();
  ASSERT_TRUE(folder->Delete(retired).ok());
  EXPECT_FALSE(fs::exists(retired.place));
}

TEST_F(ModelsFolderTest, RemembersTheMetadataThatWasAccepted) {
  {
    const auto folder = Open();
    EXPECT_EQ(folder->Accepted(7)->version, 0u);
    ASSERT_TRUE(
        folder
            ->Accept(7, {.owner_address = "0xabc", .version = 3, .is_signed = true, .digest = "d"})
            .ok());
  }
  const auto accepted = Open()->Accepted(7);
  ASSERT_TRUE(accepted.ok());
  EXPECT_EQ(accepted->owner_address, "0xabc");
  EXPECT_EQ(accepted->version, 3u);
  EXPECT_TRUE(accepted->is_signed);
  EXPECT_EQ(accepted->digest, "d");
}

}  // namespace
}  // namespace ncn::sync
