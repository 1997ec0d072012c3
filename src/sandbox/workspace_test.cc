#include "sandbox/workspace.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ncn::sandbox {
namespace {

class WorkspaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    fd_.reset(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string At(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(At(name)) << bytes;
  }
  CollectedFile CollectOne(const std::string& name, std::uint64_t bytes_max = 100) {
    return CollectFiles(fd_.get(), {{name, bytes_max}}).at(0);
  }

  std::string folder_ = (std::filesystem::temp_directory_path() / "ncn-workspace-XXXXXX").native();
  base::UniqueFd fd_;
};

TEST_F(WorkspaceTest, ReadsARegularFileUpToItsBound) {
  Write("a", "12345");
  EXPECT_EQ(CollectOne("a", 5).bytes.value_or(""), "12345");
  EXPECT_EQ(CollectOne("a", 4).absence, FileAbsence::kTooLarge);
  EXPECT_EQ(CollectOne("b").absence, FileAbsence::kMissing);
}

TEST_F(WorkspaceTest, FollowsNoSymbolicLinkEvenWithin) {
  Write("a", "12345");
  ASSERT_EQ(::symlink("a", At("within").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/hostname", At("out").c_str()), 0);
  EXPECT_EQ(CollectOne("within").absence, FileAbsence::kNotRegular);
  EXPECT_EQ(CollectOne("out").absence, FileAbsence::kNotRegular);
}

TEST_F(WorkspaceTest, RefusesWhatIsNoFileWithoutWaitingForIt) {
  ASSERT_EQ(::mkfifo(At("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::mkdir(At("folder").c_str(), 0700), 0);
  EXPECT_EQ(CollectOne("pipe").absence, FileAbsence::kNotRegular);
  EXPECT_EQ(CollectOne("folder").absence, FileAbsence::kNotRegular);
}

TEST_F(WorkspaceTest, RefusesAFileWithASecondName) {
  Write("a", "12345");
  ASSERT_EQ(::link(At("a").c_str(), At("b").c_str()), 0);
  EXPECT_EQ(CollectOne("a").absence, FileAbsence::kLinked);
}

TEST_F(WorkspaceTest, PlacesFilesAndRefusesNamesThatLeadElsewhere) {
  const WorkspaceOwner me{::geteuid(), ::getegid()};
  ASSERT_TRUE(PlaceFiles(fd_.get(), {{"in", "x"}}, me).ok());
  EXPECT_EQ(CollectOne("in").bytes.value_or(""), "x");
  EXPECT_FALSE(PlaceFiles(fd_.get(), {{"in", "again"}}, me).ok());
  for (const char* name : {"", ".", "..", "../x", "a/b", "/etc/x"}) {
    EXPECT_EQ(PlaceFiles(fd_.get(), {{name, "x"}}, me).code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace ncn::sandbox
