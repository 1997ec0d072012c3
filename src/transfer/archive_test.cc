#include "transfer/archive.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transfer/testing_archive.h"
#include "transfer/testing_download.h"
#include "transfer/testing_file_size_limit.h"
#include "transfer/tree_writer.h"

namespace ncn::transfer {
namespace {

using ::testing::HasSubstr;

using Format = ArchiveFormat;

class ArchiveTest : public ::testing::TestWithParam<Format> {
 protected:
  ArchiveTest() {
    std::filesystem::create_directory(Folder());
    std::ofstream(folder_.path() / "outside") << "outside";
  }

  std::filesystem::path Folder() const { return folder_.path() / "destination"; }
  std::filesystem::path ArchivePath() const { return folder_.path() / "archive"; }

  void Write(const std::vector<TestEntry>& entries, Format format) const {
    WriteArchive(ArchivePath(), entries, format);
  }

  absl::StatusOr<std::vector<UnpackedFile>> UnpackIt(const UnpackLimits& limits = {},
                                                     std::stop_token stop = {}) const {
    const base::UniqueFd archive(::open(ArchivePath().c_str(), O_RDONLY | O_CLOEXEC));
    const base::UniqueFd folder(::open(Folder().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return Unpack(archive.get(), folder.get(), limits, std::move(stop));
  }

  // The error of an archive that may not be; it must have left nothing.
  std::string Refusal(const std::vector<TestEntry>& entries,
                      absl::StatusCode code = absl::StatusCode::kInvalidArgument,
                      const UnpackLimits& limits = {}) {
    std::vector<TestEntry> all = {{.path = "first/good"}};
    all.insert(all.end(), entries.begin(), entries.end());
    Write(all, GetParam());
    const auto files = UnpackIt(limits);
    EXPECT_EQ(files.status().code(), code) << files.status();
    EXPECT_TRUE(std::filesystem::is_empty(Folder()));
    EXPECT_EQ(*base::ReadFile(folder_.path() / "outside", 100), "outside");
    return std::string(files.status().message());
  }

  TestFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Formats, ArchiveTest, ::testing::Values(Format::kTarGz, Format::kZip),
                         [](const auto& info) {
                           return info.param == Format::kZip ? "Zip" : "TarGz";
                         });

TEST_P(ArchiveTest, UnpacksFilesAndFolders) {
  Write({{.path = "a/", .type = AE_IFDIR, .mode = 0700},
         {.path = "a/b/model.onnx", .content = std::string(1'000'000, 'x')},
         {.path = "./run.py", .content = "print()", .mode = 06755},
         {.path = "empty", .content = "", .mode = 0600}},
        GetParam());
  const auto files = UnpackIt();
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 3U);
  EXPECT_EQ((*files)[0].path, "a/b/model.onnx");
  EXPECT_EQ((*files)[0].size_bytes, 1'000'000U);
  EXPECT_EQ((*files)[1].path, "run.py");
  EXPECT_EQ(*base::ReadFile(Folder() / "run.py", 100), "print()");
  EXPECT_EQ(*base::ReadFile(Folder() / "a/b/model.onnx", 2'000'000), std::string(1'000'000, 'x'));
  const auto mode = [&](const char* path) {
    struct stat info = {};
    ::stat((Folder() / path).c_str(), &info);
    return info.st_mode & 07777;
  };
  EXPECT_EQ(mode("a"), 0755U);
  EXPECT_EQ(mode("a/b/model.onnx"), 0644U);
  EXPECT_EQ(mode("run.py"), 0755U);
  EXPECT_EQ(mode("empty"), 0644U);
}

TEST_P(ArchiveTest, RefusesPathsThatLeadOut) {
  EXPECT_THAT(Refusal({{.path = "/etc/passwd"}}), HasSubstr("'/etc/passwd': has an absolute path"));
  EXPECT_THAT(Refusal({{.path = "../outside"}}), HasSubstr("'.' or '..'"));
  EXPECT_THAT(Refusal({{.path = "a/../../outside"}}), HasSubstr("'.' or '..'"));
  EXPECT_THAT(Refusal({{.path = "a//b"}}), HasSubstr("empty component"));
}

TEST_P(ArchiveTest, RefusesNamesThatMayNotBe) {
  EXPECT_THAT(Refusal({{.path = "a/.ncn/lock"}}), HasSubstr("'.ncn'"));
  EXPECT_THAT(Refusal({{.path = std::string(300, 'a')}}), HasSubstr("more than 255 bytes"));
  std::string deep = "a";
  for (int i = 0; i < 8; ++i) deep += "/a";
  EXPECT_THAT(Refusal({{.path = deep}}), HasSubstr("deeper than 8"));
  std::string longest = std::string(200, 'a');
  for (int i = 0; i < 6; ++i) longest += "/" + std::string(200, 'a');
  EXPECT_THAT(Refusal({{.path = longest}}), HasSubstr("more than 1024 bytes"));
  EXPECT_THAT(Refusal({{.path = "a\nb"}}), HasSubstr("'a?b': has control characters"));
}

TEST_P(ArchiveTest, RefusesSymbolicLinks) {
  const auto link = [](archive_entry* entry) { archive_entry_set_symlink(entry, "../outside"); };
  EXPECT_THAT(Refusal({{.path = "link", .type = AE_IFLNK, .change = link}, {.path = "link/x"}}),
              HasSubstr("'link' is a symbolic link"));
}

TEST_P(ArchiveTest, RefusesTwoEntriesOfOneName) {
  const auto code = absl::StatusCode::kAlreadyExists;
  EXPECT_THAT(Refusal({{.path = "same"}, {.path = "same"}}, code), HasSubstr("'same'"));
  EXPECT_THAT(Refusal({{.path = "x"}, {.path = "x/y"}}, code), HasSubstr("'x/y'"));
  EXPECT_THAT(Refusal({{.path = "x/y"}, {.path = "x"}}, code), HasSubstr("'x'"));
  EXPECT_THAT(Refusal({{.path = "x"}, {.path = "x/", .type = AE_IFDIR}}, code), HasSubstr("'x/'"));
}

TEST_P(ArchiveTest, KeepsToItsLimits) {
  const auto code = absl::StatusCode::kOutOfRange;
  EXPECT_THAT(Refusal({{.path = "a"}, {.path = "b"}}, code, {.entries_max = 2}),
              HasSubstr("more than 2 entries"));
  EXPECT_THAT(Refusal({{.path = "a"}, {.path = "b"}}, code, {.bytes_max = 20}),
              HasSubstr("more than 20 bytes"));
  EXPECT_THAT(Refusal({{.path = "a", .content = std::string(2'000'000, '\0')}}, code,
                      {.ratio_max = 100, .ratio_free_bytes = 1'000'000}),
              HasSubstr("more than 100 times its"));
}

TEST_P(ArchiveTest, KeepsAReserveOfTheDisk) {
  const std::string why =
      Refusal({}, absl::StatusCode::kResourceExhausted, {.reserve_bytes = std::uint64_t{1} << 60});
  EXPECT_THAT(why, HasSubstr("'first/good': needs 7 bytes of disk"));
  EXPECT_THAT(why, HasSubstr("1152921504606846976 stay in reserve"));
}

TEST_P(ArchiveTest, LeavesNothingWhenTheDiskFillsUpMidway) {
  const FileSizeLimit limit;
  Write({{.path = "first/good"}, {.path = "large", .content = std::string(1'000'000, 'x')}},
        GetParam());
  limit.Set(300'000);
  const auto files = UnpackIt();
  EXPECT_EQ(files.status().code(), absl::StatusCode::kResourceExhausted) << files.status();
  EXPECT_TRUE(std::filesystem::is_empty(Folder()));
}

TEST_P(ArchiveTest, ReplacesNothing) {
  std::ofstream(Folder() / "mine") << "mine";
  std::filesystem::create_directory_symlink("..", Folder() / "up");
  Write({{.path = "theirs"}, {.path = "mine"}}, GetParam());
  EXPECT_EQ(UnpackIt().status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*base::ReadFile(Folder() / "mine", 100), "mine");
  EXPECT_FALSE(std::filesystem::exists(Folder() / "theirs"));
  Write({{.path = "up/new"}}, GetParam());
  EXPECT_FALSE(UnpackIt().ok());
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "new"));
}

TEST_P(ArchiveTest, RefusesWhatIsDamaged) {
  std::string noise(200'000, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i) {
    noise[i] = static_cast<char>((i * 2654435761U) >> 24);
  }
  Write({{.path = "a", .content = noise}}, GetParam());
  std::filesystem::resize_file(ArchivePath(), std::filesystem::file_size(ArchivePath()) / 2);
  const auto files = UnpackIt();
  EXPECT_EQ(files.status().code(), absl::StatusCode::kInvalidArgument) << files.status();
  EXPECT_TRUE(std::filesystem::is_empty(Folder()));
}

TEST_P(ArchiveTest, IgnoresWhatFollowsTheEnd) {
  Write({{.path = "a"}}, GetParam());
  std::ofstream(ArchivePath(), std::ios::app) << std::string(1000, 'x');
  EXPECT_TRUE(UnpackIt().ok());
}

TEST_P(ArchiveTest, CanBeStopped) {
  Write({{.path = "a"}}, GetParam());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(UnpackIt({}, stop.get_token()).status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(std::filesystem::is_empty(Folder()));
}

class TarTest : public ArchiveTest {};
INSTANTIATE_TEST_SUITE_P(Formats, TarTest, ::testing::Values(Format::kTarGz));

TEST_P(TarTest, RefusesWhatIsNeitherFileNorFolder) {
  EXPECT_THAT(Refusal({{.path = "fifo", .type = AE_IFIFO}}), HasSubstr("'fifo' is neither"));
  EXPECT_THAT(Refusal({{.path = "tty", .type = AE_IFCHR}}), HasSubstr("'tty' is neither"));
  EXPECT_THAT(Refusal({{.path = "disk", .type = AE_IFBLK}}), HasSubstr("'disk' is neither"));
  EXPECT_THAT(Refusal({{.path = "hard",
                        .content = "",
                        .change =
                            [](archive_entry* entry) {
                              archive_entry_set_hardlink(entry, "first/good");
                            }}}),
              HasSubstr("'hard' is a hard link"));
  EXPECT_THAT(Refusal({{.path = "holes",
                        .change =
                            [](archive_entry* entry) {
                              archive_entry_set_size(entry, 1 << 20);
                              archive_entry_sparse_add_entry(entry, 0, 7);
                            }}}),
              HasSubstr("'holes' is a sparse file"));
}

TEST_F(TarTest, RefusesOtherFormats) {
  std::ofstream(ArchivePath()) << "Rar!\x1a\x07\x01 and so on";
  EXPECT_THAT(std::string(UnpackIt().status().message()), HasSubstr("neither tar.gz nor zip"));
  std::ofstream(ArchivePath()) << "";
  EXPECT_THAT(std::string(UnpackIt().status().message()), HasSubstr("neither tar.gz nor zip"));
}

TEST(TreeWriterTest, TakesAwayWhatIsNotKept) {
  const TestFolder folder;
  const base::UniqueFd fd(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::filesystem::create_directory(folder.path() / "mine");
  {
    TreeWriter tree(fd.get());
    ASSERT_TRUE(tree.MakeFile("mine/a/b/c").ok());
    ASSERT_TRUE(tree.MakeFolder("x/y").ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "mine"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "x"));
  {
    TreeWriter tree(fd.get());
    ASSERT_TRUE(tree.MakeFile("mine/a").ok());
    ASSERT_TRUE(tree.Keep().ok());
  }
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "mine/a"));
}

TEST(TreeWriterTest, TakesPathsAsArchivesWriteThem) {
  EXPECT_EQ(*CheckedEntryPath("./a/b", false), "a/b");
  EXPECT_EQ(*CheckedEntryPath("a/", true), "a");
  EXPECT_EQ(*CheckedEntryPath("./", true), "");
  EXPECT_EQ(*CheckedEntryPath(".hidden", false), ".hidden");
  for (const char* path : {"", "a/", ".", "./", "a/.", "a/./b", "./../a", "//a", "\x7f"}) {
    EXPECT_FALSE(CheckedEntryPath(path, false).ok()) << path;
  }
}

}  // namespace
}  // namespace ncn::transfer
