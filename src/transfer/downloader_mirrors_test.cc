// Servers that fail or dawdle.

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transfer/downloader.h"
#include "transfer/testing_download.h"
#include "transfer/testing_server.h"

namespace ncn::transfer {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class DownloaderMirrorsTest : public DownloadFixture {};

TEST_F(DownloaderMirrorsTest, StreamsFromAServerWithoutRanges) {
  const std::string body = Body(10 << 20);
  TestServer server([&](const auto&, auto& connection) { connection.Answer("200 OK", "", body); });
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
}

TEST_F(DownloaderMirrorsTest, StreamsFromAServerWhoseContentRangeLies) {
  const std::string body = Body(10 << 20);
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    if (!request.range()) {
      connection.Answer("200 OK", "", body);
      return;
    }
    // Says that it begins a byte later than it was asked to.
    connection.Answer("206 Partial Content",
                      base::StrCat("Content-Range: bytes ", request.range()->begin + 1, "-",
                                   request.range()->end, "/", body.size(), "\r\n"),
                      body.substr(request.range()->begin, request.range()->size()));
  });
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
}

TEST_F(DownloaderMirrorsTest, RefusesAFileOfAnotherSizeBeforeItIsRead) {
  const std::string body = Body(10 << 20);
  TestServer server([&](const auto& request, auto& connection) {
    ServeRanges(body + "more", request, connection);
  });
  const absl::Status status = Fetch(body, {server.Url("/f")});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(base::StrCat("has ", body.size() + 4, " bytes, expected ", body.size())));
  EXPECT_EQ(board_.Read().total.fetched_bytes, 0U);
}

// Promises no length and never ends; that a fetch returns shows that it was cut off.
class EndlessServer : public TestServer {
 public:
  explicit EndlessServer(const std::string& body)
      : TestServer([body](const auto&, TestConnection& connection) {
          connection.Send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
          while (connection.Send(body)) {
          }
          connection.Close();
        }) {}
};

TEST_F(DownloaderMirrorsTest, CutsOffAServerThatSendsMoreThanItPromised) {
  const std::string body = Body(100'000);
  EndlessServer wrong(std::string(100'000, 'x'));
  EXPECT_EQ(Fetch(body, {wrong.Url("/f")}).code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(std::filesystem::exists(TargetPath()));
  // What there was when it was cut off may be right, and is then as good as any.
  EndlessServer right(body);
  const absl::Status status = Fetch(body, {right.Url("/f")});
  EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
  EXPECT_EQ(std::filesystem::exists(TargetPath()), status.ok());
}

TEST_F(DownloaderMirrorsTest, ResumesAfterAServerThatSendsLess) {
  const std::string body = Body(10 << 20);
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    const ByteRange range = *request.range();
    connection.Send(base::StrCat("HTTP/1.1 206 Partial Content\r\nContent-Length: ", range.size(),
                                 "\r\nContent-Range: bytes ", range.begin, "-", range.end - 1, "/",
                                 body.size(), "\r\n\r\n"));
    connection.Send(body.substr(range.begin, std::min<std::uint64_t>(range.size(), 2 << 20)));
    connection.Close();
  });
  options_.retries_max = 100;
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
  EXPECT_EQ(board_.Read().files[0].fetched_bytes, body.size());
}

TEST_F(DownloaderMirrorsTest, ResumesAfterResetsAndFetchesLittleTwice) {
  const std::string body = Body(16 << 20);
  std::atomic<int> resets = 0;
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    const ByteRange range = *request.range();
    if (resets < 3 && range.size() > (1 << 20)) {
      ++resets;
      connection.Send(base::StrCat("HTTP/1.1 206 Partial Content\r\nContent-Length: ", range.size(),
                                   "\r\nContent-Range: bytes ", range.begin, "-", range.end - 1,
                                   "/", body.size(), "\r\n\r\n",
                                   std::string_view(body).substr(range.begin, 1 << 20)));
      connection.Reset();
      return;
    }
    ServeRanges(body, request, connection);
  });
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
  EXPECT_EQ(resets, 3);
  const FileProgress progress = board_.Read().files[0];
  EXPECT_EQ(progress.fetched_bytes, body.size());
  EXPECT_GT(progress.retries, 0);
}

TEST_F(DownloaderMirrorsTest, GivesUpATrickleAndGoesOnElsewhere) {
  const std::string body = Body(1 << 20);
  TestServer trickle([&](const TestRequest&, TestConnection& connection) {
    connection.Send(base::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n",
                                 body.substr(0, 1000)));
    connection.WaitForClient();
    connection.Close();
  });
  TestServer good(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  options_.stall_timeout = std::chrono::milliseconds(150);
  const absl::Status status = Fetch(body, {trickle.Url("/f"), good.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
  ASSERT_THAT(good.requests(), SizeIs(1));
  EXPECT_EQ(good.requests()[0].range(), (ByteRange{1000, body.size()}));
}

TEST_F(DownloaderMirrorsTest, GivesUpATrickleThatNeverPauses) {
  const std::string body = Body(1 << 20);
  TestServer trickle([&](const TestRequest&, TestConnection& connection) {
    connection.Send(base::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n"));
    // A byte every 20 ms, until the client closes.
    for (const char& byte : body) {
      pollfd client = {.fd = connection.fd(), .events = POLLIN, .revents = 0};
      if (::poll(&client, 1, 20) > 0 || !connection.Send({&byte, 1})) break;
    }
    connection.Close();
  });
  TestServer good(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  options_.stall_timeout = std::chrono::milliseconds(300);
  options_.stall_bytes_per_second = 1000;
  const absl::Status status = Fetch(body, {trickle.Url("/f"), good.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
  ASSERT_THAT(good.requests(), SizeIs(1));
  EXPECT_GT(good.requests()[0].range()->begin, 0U) << "what the trickle brought is kept";
}

TEST_F(DownloaderMirrorsTest, TakesOverFromASlowConnectionWhatItHasLeft) {
  const std::string body = Body(20 << 20);
  std::atomic<std::uint64_t> slow_end = 0;
  std::atomic<bool> taken_over = false;
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    const ByteRange range = *request.range();
    if (range.begin > 0) {
      if (range.begin < slow_end) taken_over = true;
      return ServeRanges(body, request, connection);
    }
    slow_end = range.end;
    connection.Send(base::StrCat("HTTP/1.1 206 Partial Content\r\nContent-Length: ", range.size(),
                                 "\r\nContent-Range: bytes 0-", range.end - 1, "/", body.size(),
                                 "\r\n\r\n", body.substr(0, 1000)));
    while (!taken_over) std::this_thread::yield();
    connection.Send(std::string_view(body).substr(1000, range.end - 1000));
    connection.Close();
  });
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
}

TEST_F(DownloaderMirrorsTest, LeavesAServerThatAllowsOneConnectionWithOne) {
  const std::string body = Body(20 << 20);
  std::atomic<int> open = 0;
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    if (open++ > 0) {
      connection.Answer("429 Too Many Requests", "", "");
    } else {
      ServeRanges(body, request, connection);
    }
    --open;
  });
  options_.retries_max = 50;
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), body);
}

TEST_F(DownloaderMirrorsTest, SaysThatASourceStalled) {
  const std::string body = Body(1000);
  TestServer silent([&](const auto&, TestConnection& connection) {
    connection.WaitForClient();
    connection.Close();
  });
  options_.stall_timeout = std::chrono::milliseconds(120);
  options_.retries_max = 1;
  const absl::Status status = Fetch(body, {silent.Url("/f")});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("stalled: less than 1024 bytes/s"));
  EXPECT_THAT(silent.requests(), SizeIs(2));
}

TEST_F(DownloaderMirrorsTest, AsksTheNextMirrorAtOnceWhenOneHasNoSuchFile) {
  const std::string body = Body(1000);
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    if (request.path == "/good") return ServeRanges(body, request, connection);
    connection.Answer(request.path == "/gone" ? "410 Gone" : "404 Not Found", "", "<html>");
  });
  const absl::Status status =
      Fetch(body, {server.Url("/missing"), server.Url("/gone"), server.Url("/good")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(server.requests(), SizeIs(3));
  EXPECT_EQ(board_.Read().files[0].retries, 0);
}

TEST_F(DownloaderMirrorsTest, TellsSourceBySourceWhatHappened) {
  const std::string body = Body(1000);
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    connection.Answer("404 Not Found", "", "");
  });
  const absl::Status status = Fetch(body, {server.Url("/a?token=secret"), server.Url("/b")});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()),
            base::StrCat("model: ", server.Url("/a"), ": answered 404; ", server.Url("/b"),
                         ": answered 404"));
}

TEST_F(DownloaderMirrorsTest, TriesABusyServerAgainWhenItAsksForThat) {
  const std::string body = Body(1000);
  std::atomic<int> refusals = 0;
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    if (refusals++ < 2) {
      connection.Answer("503 Service Unavailable", "Retry-After: 0\r\n", "");
      return;
    }
    ServeRanges(body, request, connection);
  });
  options_.retry_pause = std::chrono::hours(1);  // Not waited for: the server names its own.
  options_.retry_pause_max = std::chrono::hours(1);
  const absl::Status status = Fetch(body, {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(board_.Read().files[0].retries, 2);
}

TEST_F(DownloaderMirrorsTest, DoesNotWaitLongerThanItsOwnBoundForABusyServer) {
  const std::string body = Body(1000);
  TestServer busy([&](const TestRequest&, TestConnection& connection) {
    connection.Answer("429 Too Many Requests", "Retry-After: 86400\r\n", "");
  });
  TestServer good(
      [&](const auto& request, auto& connection) { ServeRanges(body, request, connection); });
  const absl::Status status = Fetch(body, {busy.Url("/f"), good.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(busy.requests(), SizeIs(options_.retries_max + 1));
}

}  // namespace
}  // namespace ncn::transfer
