#include "models/file_index.h"

#include <chrono>
#include <thread>

#include "base/fake_clock.h"
#include "base/sha256.h"
#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::models {
namespace {

using std::chrono::days;

std::string HashOf(std::string_view bytes) { return base::AsHex(base::Sha256(bytes)); }

class FileIndexTest : public testing::Test {
 protected:
  // A file whose last change lies behind the tick of the file system's clock.
  TreeFile Settled(const std::string& name, std::string_view bytes) {
    folder_.Write(name, bytes);
    const TreeFile file{name, store_.Look(name)->identity};
    while (!IsSettled(file.identity)) std::this_thread::yield();
    return file;
  }
  std::filesystem::path Path() const { return folder_.path() / "index.db"; }

  const TestFolder folder_;
  const FolderFd store_ = *FolderFd::Open(folder_.path());
  base::FakeClock clock_;
};

TEST_F(FileIndexTest, RemembersHashesAndFormatsOverRestarts) {
  TreeFile file = Settled("m.onnx", OnnxFile());
  {
    FileIndex index(Path(), clock_);
    EXPECT_EQ(*index.Sha256(store_, file), HashOf(OnnxFile()));
    EXPECT_EQ(*index.Format(store_, file), ModelFormat::kOnnx);
  }
  std::filesystem::remove(folder_.path() / "m.onnx");  // It is not even opened.
  FileIndex index(Path(), clock_);
  EXPECT_EQ(index.size(), 1u);
  EXPECT_EQ(*index.Sha256(store_, file), HashOf(OnnxFile()));
  EXPECT_EQ(*index.Format(store_, file), ModelFormat::kOnnx);
  file.path = "m.pt";
  EXPECT_FALSE(index.Format(store_, file).ok()) << "the name promises another format";
  ++file.identity.ctime_ns;
  EXPECT_FALSE(index.Sha256(store_, file).ok());
}

TEST_F(FileIndexTest, SaysThatAFileIsNoLongerTheListedOne) {
  FileIndex index({}, clock_);
  const TreeFile file = Settled("m.onnx", "one");
  folder_.Write("m.onnx", "another");
  EXPECT_TRUE(absl::IsAborted(index.Sha256(store_, file).status()));
  EXPECT_TRUE(absl::IsAborted(index.Format(store_, file).status()));
}

TEST_F(FileIndexTest, KeepsOnlyTheLatestStateOfAFile) {
  FileIndex index(Path(), clock_);
  EXPECT_EQ(*index.Sha256(store_, Settled("m.onnx", "one")), HashOf("one"));
  EXPECT_EQ(*index.Sha256(store_, Settled("m.onnx", "two")), HashOf("two"));
  EXPECT_EQ(index.size(), 1u);
}

TEST_F(FileIndexTest, ForgetsWhatNobodyHasAskedForInAMonth) {
  const TreeFile seen = Settled("seen.onnx", "seen");
  const TreeFile gone = Settled("gone.onnx", "gone");
  {
    FileIndex index(Path(), clock_);
    ASSERT_TRUE(index.Sha256(store_, seen).ok() && index.Sha256(store_, gone).ok());
  }
  for (int i = 0; i < 4; ++i) {
    clock_.Advance(days(10));
    FileIndex index(Path(), clock_);
    ASSERT_TRUE(index.Sha256(store_, seen).ok());
    index.Flush();
    EXPECT_EQ(index.size(), i < 3 ? 2u : 1u);
  }
  EXPECT_EQ(FileIndex(Path(), clock_).size(), 1u);
}

TEST_F(FileIndexTest, MakesADamagedOneAnew) {
  const TreeFile file = Settled("m.onnx", OnnxFile());
  folder_.Write("index.db", std::string(10'000, 'x'));
  folder_.Write("index.db-wal", "x");
  {
    FileIndex index(Path(), clock_);
    EXPECT_EQ(index.size(), 0u);
    EXPECT_EQ(*index.Sha256(store_, file), HashOf(OnnxFile()));
  }
  EXPECT_EQ(FileIndex(Path(), clock_).size(), 1u);
}

TEST_F(FileIndexTest, WorksWithoutAFileThatCannotBeUsed) {
  const TreeFile file = Settled("m.onnx", OnnxFile());
  folder_.Write("folder/not-empty", "");
  for (const char* path : {"no/such/folder/index.db", "folder", "m.onnx/index.db"}) {
    FileIndex index(folder_.path() / path, clock_);
    EXPECT_EQ(*index.Sha256(store_, file), HashOf(OnnxFile())) << path;
    index.Flush();
    EXPECT_EQ(index.size(), 1u) << path;
  }
}

}  // namespace
}  // namespace ncn::models
