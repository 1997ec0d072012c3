#include "base/files.h"

#include <sys/stat.h>

#include "gtest/gtest.h"

namespace ncn::base {
namespace {

std::filesystem::path TestPath(const char* name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

TEST(FilesTest, WritesAtomicallyWithTheGivenMode) {
  const auto path = TestPath("ncn_files_test");
  ASSERT_TRUE(WriteFileAtomically(path, "secret", 0600).ok());
  EXPECT_EQ(*ReadFile(path, 100), "secret");
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  std::filesystem::remove(path);
}

TEST(FilesTest, RefusesFilesOverTheBound) {
  const auto path = TestPath("ncn_files_bound");
  ASSERT_TRUE(WriteFileAtomically(path, "12345", 0600).ok());
  EXPECT_EQ(ReadFile(path, 4).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*ReadFile(path, 5), "12345");
  std::filesystem::remove(path);
}

TEST(FilesTest, NamesTheMissingFile) {
  const absl::Status status = ReadFile("/no/such/file", 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("/no/such/file"), std::string::npos);
}

TEST(FilesTest, RefusesADirectory) { EXPECT_FALSE(ReadFile("/tmp", 1).ok()); }

TEST(FilesTest, SealedMemoryCannotBeWritten) {
  const absl::StatusOr<UniqueFd> fd = SealedMemory("test", "abc");
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(*ReadAll(fd->get(), 10), "abc");
  EXPECT_LT(::pwrite(fd->get(), "x", 1, 0), 0);
}

}  // namespace
}  // namespace ncn::base
