#include "reference/file_depot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/fake_clock.h"
#include "base/files.h"
#include "base/sha256.h"
#include "gtest/gtest.h"

namespace ncn::reference {
namespace {

namespace fs = std::filesystem;

class FileDepotTest : public testing::Test {
 protected:
  FileDepotTest() {
    std::string name = (fs::temp_directory_path() / "depot-XXXXXX").native();
    folder_ = ::mkdtemp(name.data());
    Open();
  }
  ~FileDepotTest() override {
    depot_.reset();
    fs::remove_all(folder_);
  }

  void Open(std::uint64_t bytes_max = 1 << 20) {
    depot_.reset();
    auto opened = FileDepot::Open(
        {.folder = folder_, .bytes_max = bytes_max, .free_bytes_reserve = 0},
        [this](const std::string& sha256) { return sha256 == needed_; }, clock_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    depot_ = *std::move(opened);
  }

  static std::string Hash(const std::string& content) { return base::AsHex(base::Sha256(content)); }

  absl::Status Put(const std::string& content) {
    auto upload = depot_->Begin(Hash(content), content.size(), 0);
    if (!upload.ok()) return upload.status();
    if (absl::Status status = (*upload)->Append(content); !status.ok()) return status;
    return (*upload)->Finish();
  }

  fs::path folder_;
  std::string needed_;
  base::FakeClock clock_;
  std::unique_ptr<FileDepot> depot_;
};

TEST_F(FileDepotTest, KeepsAFileUnderItsHash) {
  ASSERT_TRUE(Put("content").ok());
  EXPECT_TRUE(depot_->Has(Hash("content")));
  EXPECT_TRUE(absl::IsAlreadyExists(Put("content")));
  const auto file = depot_->Get(Hash("content"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->size_bytes, 7u);
  EXPECT_EQ(*base::ReadAll(file->fd.get(), 100), "content");
  EXPECT_TRUE(absl::IsNotFound(depot_->Get(Hash("other")).status()));
  ASSERT_TRUE(Put("").ok()) << "an empty file is a file";
}

TEST_F(FileDepotTest, GoesOnWhereAnEarlierProcessEnded) {
  const std::string hash = Hash("first second");
  {
    auto upload = depot_->Begin(hash, 12, 0);
    ASSERT_TRUE((*upload)->Append("first ").ok());
  }
  Open();
  EXPECT_EQ(depot_->Stat(hash).bytes_held, 6u);
  EXPECT_FALSE(depot_->Stat(hash).complete);
  EXPECT_TRUE(absl::IsFailedPrecondition(depot_->Begin(hash, 12, 3).status()));
  auto upload = depot_->Begin(hash, 12, 6);
  ASSERT_TRUE(upload.ok()) << upload.status();
  EXPECT_TRUE(absl::IsFailedPrecondition((*upload)->Finish())) << "not all is there";
  ASSERT_TRUE((*upload)->Append("second").ok());
  EXPECT_TRUE((*upload)->Finish().ok());
  EXPECT_TRUE(depot_->Stat(hash).complete);
}

TEST_F(FileDepotTest, WhatIsNotTheFileIsThrownAway) {
  const std::string hash = Hash("content");
  auto upload = depot_->Begin(hash, 7, 0);
  EXPECT_TRUE(absl::IsInvalidArgument((*upload)->Append("too much content")));
  ASSERT_TRUE((*upload)->Append("CONTENT").ok());
  EXPECT_TRUE(absl::IsDataLoss((*upload)->Finish()));
  upload->reset();
  EXPECT_EQ(depot_->Stat(hash).bytes_held, 0u);
  EXPECT_TRUE(fs::is_empty(folder_ / "partial"));
  EXPECT_TRUE(Put("content").ok());
}

TEST_F(FileDepotTest, AnUploadIsTakenOverOnceItIsIdle) {
  const std::string hash = Hash("content");
  auto first = depot_->Begin(hash, 7, 0);
  ASSERT_TRUE((*first)->Append("con").ok());
  EXPECT_TRUE(absl::IsAborted(depot_->Begin(hash, 7, 3).status()));
  clock_.Advance(std::chrono::seconds(11));
  auto second = depot_->Begin(hash, 7, 3);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(absl::IsAborted((*first)->Append("tent")));
  EXPECT_TRUE(absl::IsAborted((*first)->Finish()));
  first->reset();
  EXPECT_TRUE(absl::IsAborted(depot_->Begin(hash, 7, 3).status())) << "the second is under way";
  ASSERT_TRUE((*second)->Append("tent").ok());
  EXPECT_TRUE((*second)->Finish().ok());
}

TEST_F(FileDepotTest, MakesRoomOfOldFilesThatNobodyNeeds) {
  Open(10);
  ASSERT_TRUE(Put("needed").ok());
  ASSERT_TRUE(Put("old").ok());
  needed_ = Hash("needed");
  EXPECT_TRUE(absl::IsResourceExhausted(Put("new!!"))) << "both are too young";
  for (const auto& entry : fs::directory_iterator(folder_ / "blobs")) {
    const timespec day_before{clock_.WallNow().time_since_epoch() / std::chrono::seconds(1) - 90000,
                              0};
    const timespec times[] = {day_before, day_before};
    ASSERT_EQ(::utimensat(AT_FDCWD, entry.path().c_str(), times, 0), 0);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Put("much too long")));
  EXPECT_TRUE(depot_->Has(Hash("needed")));
  EXPECT_TRUE(Put("new").ok());
  EXPECT_FALSE(depot_->Has(Hash("old")));
  EXPECT_TRUE(depot_->Has(Hash("needed")));
}

TEST_F(FileDepotTest, UploadsUnderWayCountAsWhatTheyPromised) {
  Open(10);
  auto upload = depot_->Begin(Hash("content"), 7, 0);
  ASSERT_TRUE(upload.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Put("four")));
  upload->reset();
  EXPECT_TRUE(Put("four").ok());
}

TEST_F(FileDepotTest, ForeignFilesInItsFoldersAreNotServed) {
  std::ofstream(folder_ / "blobs" / "note.txt") << "x";
  fs::create_symlink("/etc/passwd", folder_ / "blobs" / std::string(64, 'a'));
  Open();
  EXPECT_FALSE(depot_->Has(std::string(64, 'a')));
}

}  // namespace
}  // namespace ncn::reference
