// What a downloader takes over from earlier attempts.

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transfer/downloader.h"
#include "transfer/resume_record.h"
#include "transfer/testing_download.h"
#include "transfer/testing_server.h"

namespace ncn::transfer {
namespace {

using ::testing::IsEmpty;

// A download that was broken off after `present`, as the record `suffix` has it.
class DownloaderResumeTest : public DownloadFixture {
 protected:
  void LeaveBehind(const std::string& bytes, const std::string& suffix,
                   std::vector<ByteRange> present, const std::string& boot_id) {
    std::filesystem::create_directories(options_.staging);
    const std::filesystem::path stem = options_.staging / base::AsHex(base::Sha256(body_));
    std::ofstream(stem.native() + ".part", std::ios::binary) << bytes;
    std::ofstream(stem.native() + suffix, std::ios::binary)
        << EncodeResumeRecord({.size_bytes = body_.size(),
                               .sha256 = base::AsHex(base::Sha256(body_)),
                               .boot_id = boot_id,
                               .present = std::move(present)});
  }
  // How many bytes it takes to finish.
  std::uint64_t Finish() {
    TestServer server(
        [&](const auto& request, auto& connection) { ServeRanges(body_, request, connection); });
    const absl::Status status = Fetch(body_, {server.Url("/f")});
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(Target(), body_);
    EXPECT_THAT(Staged(), IsEmpty());
    return board_.Read().total.fetched_bytes;
  }
  static std::string BootId() {
    std::string id = *base::ReadFile("/proc/sys/kernel/random/boot_id", 100);
    id.pop_back();
    return id;
  }

  const std::string body_ = Body(1'000'000);
};

TEST_F(DownloaderResumeTest, FetchesOnlyWhatIsMissing) {
  LeaveBehind(body_.substr(0, 900'000), ".live", {{0, 200'000}, {500'000, 900'000}}, BootId());
  EXPECT_EQ(Finish(), 400'000U);
}

TEST_F(DownloaderResumeTest, TrustsAfterARestartOfTheMachineOnlyWhatWasSynced) {
  LeaveBehind(body_.substr(0, 900'000), ".live", {{0, 900'000}}, "another boot");
  EXPECT_EQ(Finish(), 1'000'000U);
  std::filesystem::remove(TargetPath());
  LeaveBehind(body_.substr(0, 900'000), ".resume", {{0, 900'000}}, "another boot");
  EXPECT_EQ(Finish(), 100'000U);
}

TEST_F(DownloaderResumeTest, FinishesWhatIsWholeWithoutAskingAnybody) {
  LeaveBehind(body_, ".live", {{0, 1'000'000}}, BootId());
  EXPECT_EQ(Finish(), 0U);
}

TEST_F(DownloaderResumeTest, BeginsAnewWhenTheRecordIsOfAnotherFileOrNone) {
  LeaveBehind(body_, ".live", {{0, 1'000'000}}, BootId());
  const std::filesystem::path record =
      options_.staging / (base::AsHex(base::Sha256(body_)) + ".live");
  for (const std::string& bytes : {std::string("garbage"),
                                   EncodeResumeRecord({.size_bytes = body_.size(),
                                   .sha256 = std::string(64, 'a'),
                                   .boot_id = BootId(),
                                   .present = {{0, 900'000}}}),
                                   EncodeResumeRecord({.size_bytes = body_.size() + 1,
                                   .sha256 = base::AsHex(base::Sha256(body_)),
                                   .boot_id = BootId(),
                                   .present = {{0, 900'000}}})}) {
    std::filesystem::create_directories(options_.staging);
    std::ofstream(record, std::ios::binary | std::ios::trunc) << bytes;
    EXPECT_EQ(Finish(), 1'000'000U);
    std::filesystem::remove(TargetPath());
  }
}

TEST_F(DownloaderResumeTest, BeginsAnewWhenThePartialFileIsShorterThanItsRecord) {
  LeaveBehind(body_.substr(0, 100'000), ".live", {{0, 900'000}}, BootId());
  EXPECT_EQ(Finish(), 1'000'000U);
}

TEST_F(DownloaderResumeTest, RecoversFromARecordThatClaimsBytesThatAreWrong) {
  LeaveBehind(std::string(900'000, 'x'), ".live", {{0, 900'000}}, BootId());
  EXPECT_EQ(Finish(), 1'100'000U);
}

TEST_F(DownloaderResumeTest, DoesNotFollowASymbolicLinkInPlaceOfThePartialFile) {
  std::filesystem::create_directories(options_.staging);
  std::ofstream(folder_.path() / "precious") << "precious";
  std::filesystem::create_symlink("../precious",
                                  options_.staging / (base::AsHex(base::Sha256(body_)) + ".part"));
  EXPECT_FALSE(Fetch(body_, {}).ok());
  EXPECT_EQ(*base::ReadFile(folder_.path() / "precious", 100), "precious");
}

}  // namespace
}  // namespace ncn::transfer
