// Servers that give other bytes than were asked for.

#include <filesystem>

#include "base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transfer/downloader.h"
#include "transfer/testing_download.h"
#include "transfer/testing_server.h"

namespace ncn::transfer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DownloaderLiarsTest : public DownloadFixture {};

TEST_F(DownloaderLiarsTest, TakesTheNextMirrorWhenTheFirstHasAnotherHash) {
  const std::string body = Body(9 << 20);
  std::string wrong = body;
  wrong[5'000'000] ^= 1;
  TestServer liar(
      [&](const auto& request, auto& connection) { ServeRanges(wrong, request, connection); });
  TestServer good(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  const absl::Status status = Fetch(body, {liar.Url("/f"), good.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
  EXPECT_EQ(board_.Read().files[0].fetched_bytes, 2 * body.size());
}

TEST_F(DownloaderLiarsTest, LogsWhoLiedAndWhoWasLeftThoughAnotherHadIt) {
  const std::string body = Body(1000);
  const std::string wrong(1000, 'x');
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    if (request.path == "/gone") return (void)connection.Answer("404 Not Found", "", "");
    if (request.path == "/busy") return (void)connection.Answer("503 Busy", "", "");
    ServeRanges(request.path == "/liar" ? wrong : body, request, connection);
  });
  options_.retries_max = 1;
  ::testing::internal::CaptureStderr();
  const absl::Status status = Fetch(
      body, {server.Url("/gone"), server.Url("/busy"), server.Url("/liar"), server.Url("/good")});
  const std::string log = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(log, HasSubstr(base::StrCat("model: what came from ", server.Url("/liar"),
                                          " has the SHA-256 ", base::AsHex(base::Sha256(wrong)),
                                          " instead of ", base::AsHex(base::Sha256(body)))));
  EXPECT_THAT(log,
              HasSubstr(base::StrCat(server.Url("/gone"), " is not asked again: answered 404")));
  EXPECT_THAT(log,
              HasSubstr(base::StrCat(server.Url("/busy"), " is not asked again: answered 503")));
}

TEST_F(DownloaderLiarsTest, CountsWhatAllFetchesTogetherCame) {
  const std::string body = Body(1000);
  const std::string wrong(1000, 'x');
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    if (request.path == "/busy") return (void)connection.Answer("503 Busy", "", "");
    ServeRanges(request.path == "/liar" ? wrong : body, request, connection);
  });
  options_.retries_max = 1;
  Downloader downloader(options_);
  EXPECT_TRUE(downloader.Fetch({File(body, {server.Url("/liar"), server.Url("/good")})})[0].ok());
  EXPECT_TRUE(downloader.Fetch({File(body, {server.Url("/good")})})[0].ok()) << "it is there";
  EXPECT_FALSE(downloader.Fetch({File(body + "more", {server.Url("/busy")})})[0].ok());
  const TransferCounts counts = downloader.counts();
  EXPECT_EQ(counts.fetched_bytes, 2000U);
  EXPECT_EQ(counts.fetched_files, 1U);
  EXPECT_EQ(counts.failed_files, 1U);
  EXPECT_EQ(counts.retries, 2U);
  EXPECT_EQ(counts.wrong_hashes, 1U);
}

TEST_F(DownloaderLiarsTest, NamesSourceAndBothHashesWhenAllLie) {
  const std::string body = Body(1000);
  const std::string wrong(1000, 'x');
  TestServer liar(
      [&](const auto& request, auto& connection) { ServeRanges(wrong, request, connection); });
  const absl::Status status = Fetch(body, {liar.Url("/f")});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(liar.Url("/f")), HasSubstr(base::AsHex(base::Sha256(wrong))),
                    HasSubstr(base::AsHex(base::Sha256(body)))));
  EXPECT_FALSE(std::filesystem::exists(TargetPath()));
  EXPECT_THAT(Staged(), IsEmpty());
}

TEST_F(DownloaderLiarsTest, OneLiarAmongMirrorsThatShareTheWorkStopsNobody) {
  const std::string body = Body(1 << 20);
  // Gives a wrong beginning and breaks, so that its bytes are mixed with those of the next.
  TestServer liar([&](const TestRequest& request, TestConnection& connection) {
    if (request.range()) {
      connection.Answer("404 Not Found", "", "");
      return;
    }
    connection.Send(base::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n",
                                 std::string(1000, 'x')));
    connection.Close();
  });
  TestServer good(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  const absl::Status status = Fetch(body, {liar.Url("/f"), good.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
}

}  // namespace
}  // namespace ncn::transfer
