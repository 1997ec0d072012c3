#include "transfer/downloader.h"

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transfer/testing_download.h"
#include "transfer/testing_file_size_limit.h"
#include "transfer/testing_server.h"

namespace ncn::transfer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DownloaderTest : public DownloadFixture {};

TEST_F(DownloaderTest, FetchesASmallFileWithOneRequest) {
  const std::string body = Body(1000);
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
  ASSERT_THAT(server.requests(), SizeIs(1));
  EXPECT_FALSE(server.requests()[0].range());
  EXPECT_THAT(Staged(), IsEmpty());
  struct stat info;
  ASSERT_EQ(::stat(TargetPath().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644U);
}

TEST_F(DownloaderTest, FetchesALargeFileInRangesThatTogetherAreTheFileOnce) {
  const std::string body = Body(20 << 20);
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
  EXPECT_GT(server.requests().size(), 2U);
  const TransferProgress progress = board_.Read();
  EXPECT_EQ(progress.files[0].fetched_bytes, body.size());
  EXPECT_EQ(progress.files[0].present_bytes, body.size());
  EXPECT_EQ(progress.files[0].state, FileState::kDone);
  EXPECT_EQ(progress.files[0].retries, 0);
}

TEST_F(DownloaderTest, FetchesAnEmptyFileWithoutAskingAnybody) {
  const absl::Status status = Fetch("", {});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), "");
}

TEST_F(DownloaderTest, KeepsToTheBandwidthItWasGiven) {
  const std::string body = Body(300'000);
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  options_.bytes_per_second_max = 1'000'000;
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(Fetch(body, {server.Url("/f")}).ok());
  // All but the tenth of a second's worth that is free at the start.
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(190));
}

TEST_F(DownloaderTest, AsksNobodyForAFileThatTheDiskCannotHold) {
  const std::string body = Body(1 << 20);
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  absl::Status status;
  {
    const FileSizeLimit limit;
    limit.Set(300'000);
    status = Fetch(body, {server.Url("/f")});
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(server.requests(), IsEmpty());
  EXPECT_THAT(Staged(), IsEmpty());
}

TEST_F(DownloaderTest, LeavesNothingBehindWhenTheDiskFillsUpMidway) {
  const std::string body = Body(1 << 20);
  absl::Status status;
  {
    const FileSizeLimit limit;
    TestServer server([&](const auto& request, auto& connection) {
      limit.Set(300'000);
      ServeRanges(body, request, connection);
    });
    status = Fetch(body, {server.Url("/f")});
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_GT(board_.Read().total.fetched_bytes, 0U);
  EXPECT_THAT(Staged(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(TargetPath()));
}

TEST_F(DownloaderTest, KeepsAReserveOfTheDisk) {
  const std::string body = Body(1000);
  options_.disk_reserve_bytes = std::uint64_t{1} << 60;
  const absl::Status status = Fetch(body, {"http://127.0.0.1:1/f"});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("needs 1000 bytes"), HasSubstr("are free"),
                    HasSubstr("1152921504606846976 stay in reserve")));
}

TEST_F(DownloaderTest, StopsSoonAndGoesOnWhereItStopped) {
  const std::string body = Body(4 << 20);
  std::stop_source stop;
  std::atomic<bool> halt = true;
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    if (!halt) return ServeRanges(body, request, connection);
    connection.Send(base::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n",
                                 body.substr(0, 3 << 20)));
    connection.WaitForClient();
    connection.Close();
  });
  std::jthread stopper([&] {
    while (board_.Read().total.present_bytes < (3 << 20)) std::this_thread::yield();
    stop.request_stop();
  });
  const absl::Status stopped = Fetch(body, {server.Url("/f")}, stop.get_token());
  EXPECT_EQ(stopped.code(), absl::StatusCode::kCancelled) << stopped;
  EXPECT_FALSE(std::filesystem::exists(TargetPath()));
  stopper.join();

  halt = false;
  ASSERT_TRUE(Fetch(body, {server.Url("/f")}).ok());
  EXPECT_EQ(Target(), body);
  EXPECT_EQ(board_.Read().files[0].fetched_bytes, std::uint64_t{1} << 20);
}

TEST_F(DownloaderTest, StopsWhileItWaitsToTryAgain) {
  const std::string body = Body(1000);
  std::stop_source stop;
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    connection.Answer("503 Busy", "", "");
    stop.request_stop();
  });
  options_.retry_pause = std::chrono::hours(1);
  options_.retry_pause_max = std::chrono::hours(1);
  EXPECT_EQ(Fetch(body, {server.Url("/f")}, stop.get_token()).code(), absl::StatusCode::kCancelled);
}

TEST_F(DownloaderTest, FetchesNothingWhenTheTargetIsRightAlready) {
  const std::string body = Body(1000);
  std::ofstream(TargetPath()) << body;
  EXPECT_TRUE(Fetch(body, {}).ok());
  EXPECT_THAT(Staged(), IsEmpty());
}

TEST_F(DownloaderTest, ReplacesATargetThatIsWrong) {
  const std::string body = Body(1000);
  std::ofstream(TargetPath()) << std::string(1000, 'x');
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  EXPECT_TRUE(Fetch(body, {server.Url("/f")}).ok());
  EXPECT_EQ(Target(), body);
}

TEST_F(DownloaderTest, FetchesFilesOfOneHashOnce) {
  const std::string body = Body(1000);
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  const FileToFetch a = File(body, {server.Url("/f")});
  FileToFetch b = a;
  b.target = folder_.path() / "other";
  const auto statuses = Downloader(options_).Fetch({a, b}, {}, &board_);
  ASSERT_TRUE(statuses[0].ok() && statuses[1].ok()) << statuses[0] << statuses[1];
  EXPECT_EQ(Target(), body);
  EXPECT_EQ(*base::ReadFile(b.target, 2000), body);
  EXPECT_THAT(server.requests(), SizeIs(1));
  EXPECT_EQ(board_.Read().total.state, FileState::kDone);
}

TEST_F(DownloaderTest, TwoDownloadersOfOneFileDoNotGetInEachOthersWay) {
  const std::string body = Body(12 << 20);
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  const FileToFetch file = File(body, {server.Url("/f")});
  absl::Status other;
  std::jthread thread([&] { other = Downloader(options_).Fetch({file})[0]; });
  const absl::Status one = Downloader(options_).Fetch({file})[0];
  thread.join();
  EXPECT_TRUE(one.ok()) << one;
  EXPECT_TRUE(other.ok()) << other;
  EXPECT_EQ(Target(), body);
  EXPECT_THAT(Staged(), IsEmpty());
}

TEST_F(DownloaderTest, FetchesManyFilesAndReportsEachByItself) {
  std::vector<std::string> bodies;
  for (std::size_t i = 0; i < 30; ++i) bodies.push_back(Body(1000 + i));
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    const std::size_t i = std::strtoul(request.path.c_str() + 1, nullptr, 10);
    if (i == 7) return void(connection.Answer("404 Not Found", "", ""));
    ServeRanges(bodies[i], request, connection);
  });
  std::vector<FileToFetch> files;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    files.push_back(File(bodies[i], {server.Url(base::StrCat("/", i))}));
    files.back().target = folder_.path() / std::to_string(i);
  }
  const auto statuses = Downloader(options_).Fetch(files, {}, &board_);
  for (std::size_t i = 0; i < bodies.size(); ++i) EXPECT_EQ(statuses[i].ok(), i != 7);
  EXPECT_EQ(board_.Read().files[7].state, FileState::kFailed);
  EXPECT_EQ(board_.Read().total.fetched_bytes, board_.Read().total.size_bytes);
}

TEST_F(DownloaderTest, RefusesRequestsThatMakeNoSense) {
  FileToFetch file = File("x", {});
  file.sha256[3] = 'G';
  FileToFetch folder = File("x", {});
  folder.target = "name";
  FileToFetch nowhere = File("x", {});
  nowhere.target = folder_.path() / "missing" / "name";
  for (const absl::Status& status : Downloader(options_).Fetch({file, folder, nowhere})) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
}

TEST_F(DownloaderTest, RemovesOnlyPartialFilesThatNobodyWants) {
  const std::string wanted(64, 'a');
  const std::string unwanted(64, 'b');
  std::filesystem::create_directories(options_.staging);
  for (const std::string& name : {wanted + ".part", wanted + ".live", unwanted + ".part",
                                  unwanted + ".resume", std::string("notes.part")}) {
    std::ofstream(options_.staging / name) << "bytes";
  }
  const auto freed = RemovePartialFiles(options_.staging, {wanted});
  ASSERT_TRUE(freed.ok()) << freed.status();
  EXPECT_GT(*freed, 0U);
  EXPECT_THAT(Staged(),
              testing::UnorderedElementsAre(wanted + ".part", wanted + ".live", "notes.part"));
}

}  // namespace
}  // namespace ncn::transfer
