#include "models/mounted_model.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::models {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

// A file m.onnx and a folder f, each found and then mounted.
class MountedModelTest : public testing::TestWithParam<const char*> {
 protected:
  MountedModelTest() {
    folder_.Write("m.onnx", OnnxFile());
    folder_.Write("f/f.onnx", OnnxFile());
    folder_.Write("f/sub/run.py", "one");
    const std::string name = GetParam();
    root_ = folder_.path() / name;
    model_ = *store_.Find(*inference::ModelId::Parse(name.substr(0, 1)));
    file_ = model_->file;
  }
  MountedModel Mount() const {
    return {*model_, base::UniqueFd(::open(root_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC))};
  }
  // Another file of the same name, size and content.
  void Swap() const {
    fs::copy_file(file_, folder_.path() / "copy");
    fs::rename(folder_.path() / "copy", file_);
  }
  static void ExpectChanged(const absl::Status& status) {
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("changed since it was verified"));
  }

  const TestFolder folder_;
  const ModelStore store_{folder_.path()};
  fs::path root_;
  fs::path file_;
  std::shared_ptr<const Model> model_;
};
INSTANTIATE_TEST_SUITE_P(FilesAndFolders, MountedModelTest, testing::Values("m.onnx", "f"));

TEST_P(MountedModelTest, WhatWasVerifiedIsAccepted) {
  const MountedModel mounted = Mount();
  EXPECT_TRUE(mounted.CheckVerified().ok());
  EXPECT_TRUE(mounted.CheckUnwritten().ok());
}

TEST_P(MountedModelTest, AFileSwappedBeforeTheMountIsRefused) {
  Swap();
  ExpectChanged(Mount().CheckVerified());
  ExpectChanged(Mount().CheckUnwritten());
}

TEST_P(MountedModelTest, AFileSwappedForTheTimeOfTheMountIsRefused) {
  fs::rename(root_, folder_.path() / "kept");
  if (model_->is_folder) {
    folder_.Write("f/f.onnx", OnnxFile());
    folder_.Write("f/sub/run.py", "one");
  } else {
    folder_.Write("m.onnx", OnnxFile());
  }
  const MountedModel mounted = Mount();
  fs::rename(root_, folder_.path() / "gone");
  fs::rename(folder_.path() / "kept", root_);
  ExpectChanged(mounted.CheckVerified());
  ExpectChanged(mounted.CheckUnwritten());
}

TEST_P(MountedModelTest, ALinkInPlaceOfAFileIsRefused) {
  fs::rename(file_, folder_.path() / "elsewhere");
  fs::create_symlink(folder_.path() / "elsewhere", file_);
  ExpectChanged(Mount().CheckVerified());
}

TEST_P(MountedModelTest, WritingIntoAFileShowsAtOnceAndAfterwards) {
  const MountedModel mounted = Mount();
  const base::UniqueFd fd(::open(file_.c_str(), O_WRONLY | O_CLOEXEC));
  // The clock of file times may not have gone on since the file was made.
  std::size_t writes = 0;
  while (mounted.CheckUnwritten().ok()) {
    ASSERT_LT(++writes, 10'000'000u);
    ASSERT_EQ(::pwrite(fd.get(), OnnxFile().data(), 1, 0), 1);
  }
  ExpectChanged(mounted.CheckVerified());
  ExpectChanged(mounted.CheckUnwritten());
}

TEST_P(MountedModelTest, AnEarlierTimeDoesNotHideAWrite) {
  const MountedModel mounted = Mount();
  const base::UniqueFd fd(::open(file_.c_str(), O_WRONLY | O_CLOEXEC));
  const timespec times[2] = {
      {0, UTIME_OMIT},
      {model_->identity.mtime_ns / 1'000'000'000, model_->identity.mtime_ns % 1'000'000'000}};
  std::size_t writes = 0;
  while (mounted.CheckVerified().ok()) {
    ASSERT_LT(++writes, 10'000'000u);
    ASSERT_EQ(::pwrite(fd.get(), OnnxFile().data(), 1, 0), 1);
    ASSERT_EQ(::futimens(fd.get(), times), 0);
  }
  EXPECT_TRUE(mounted.CheckUnwritten().ok()) << "which only looks for honest writers";
}

TEST_P(MountedModelTest, AnOrderlyReplacementDisturbsNobodyWhoHasTheOldOne) {
  const MountedModel mounted = Mount();
  fs::rename(root_, folder_.path() / ".retired");
  EXPECT_TRUE(mounted.CheckUnwritten().ok());
  fs::remove_all(folder_.path() / ".retired");
  EXPECT_TRUE(mounted.CheckUnwritten().ok());
  EXPECT_TRUE(store_.InUse(model_->tree_sha256));
}

TEST_P(MountedModelTest, AFileThatCameOrWentIsRefusedBefore) {
  if (!model_->is_folder) return;
  const MountedModel mounted = Mount();
  folder_.Write("f/more.py", "");
  ExpectChanged(mounted.CheckVerified());
  fs::remove(root_ / "more.py");
  EXPECT_TRUE(mounted.CheckVerified().ok());
  fs::remove(root_ / "sub" / "run.py");
  ExpectChanged(mounted.CheckVerified());
  EXPECT_TRUE(mounted.CheckUnwritten().ok());
}

}  // namespace
}  // namespace ncn::models
