// Where a downloader may and may not be led to.

#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transfer/downloader.h"
#include "transfer/source_address.h"
#include "transfer/testing_download.h"
#include "transfer/testing_server.h"

namespace ncn::transfer {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class DownloaderSourcesTest : public DownloadFixture {
 protected:
  std::string Message(std::vector<std::string> sources) {
    const absl::Status status = Fetch("body", std::move(sources));
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(std::filesystem::exists(TargetPath()));
    return std::string(status.message());
  }
  // What a server that redirects there is good for.
  std::string MessageOfRedirectTo(const std::string& location) {
    TestServer server([&](const TestRequest&, TestConnection& connection) {
      connection.Answer("302 Found", base::StrCat("Location: ", location, "\r\n"), "");
    });
    return Message({server.Url("/f")});
  }
};

TEST_F(DownloaderSourcesTest, RefusesAddressesThatMayNotBeAsked) {
  for (const auto& [source, expected] : std::vector<std::pair<std::string, std::string>>{
           {"", "the address is empty"},
           {"http://", "not a URL"},
           {"http://example.com/f", "http:// is for this machine alone"},
           {"http://10.0.0.1/f", "http:// is for this machine alone"},
           {"https://10.0.0.1/f", "not public"},
           {"https://127.0.0.1/f", "not public"},
           {"https://2130706433/f", "not public"},  // 127.0.0.1 as a number
           {"https://0x7f.1/f", "not public"},
           {"https://[::ffff:192.168.0.1]/f", "not public"},
           {"https://169.254.169.254/latest", "where no file is fetched from"},
           {"https://0.0.0.0/f", "where no file is fetched from"},
           {"https://[fe80::1]/f", "where no file is fetched from"},
           {"https://user:password@example.com/f", "holds a user or password"},
           {"https://example.com/a b", "written as %XX"},
           {"ftp://example.com/f", "nothing here reads ftp://"},
           {"grpc://127.0.0.1:1/f", "nothing here reads grpc://"},
           {"ipfs://bafy/f", "no IPFS gateway is configured"},
           {"file:///etc/passwd", "no folder is open to file:// sources"},
           {"https://example.com/" + std::string(9000, 'a'), "more than 8192"}}) {
    EXPECT_THAT(Message({source}), HasSubstr(expected)) << source;
  }
}

TEST_F(DownloaderSourcesTest, AllowsPrivateAddressesWhereTheOperatorDoesButNeverOthers) {
  EXPECT_TRUE(CheckHttpUrl("https://10.0.0.1/f", true).ok());
  EXPECT_TRUE(CheckHttpUrl("https://127.0.0.1/f", true).ok());
  EXPECT_FALSE(CheckHttpUrl("https://169.254.169.254/f", true).ok());
  EXPECT_FALSE(CheckHttpUrl("http://10.0.0.1/f", true).ok());
}

TEST_F(DownloaderSourcesTest, PrintsNoSecretsAndNoControlCharacters) {
  EXPECT_EQ(PrintableSource("https://user:pw@host/path?token=1#x"), "https://host/path");
  EXPECT_EQ(PrintableSource("https://host/\x1b[2J"), "https://host/?[2J");
  EXPECT_THAT(PrintableSource("https://host/" + std::string(500, 'a')), SizeIs(203));
}

TEST_F(DownloaderSourcesTest, ChecksTheAddressThatANameLeadsTo) {
  // "localhost" passes as a name; for https it is the connection that is refused.
  EXPECT_THAT(Message({"https://localhost:9/f"}), HasSubstr("which is not public"));
}

TEST_F(DownloaderSourcesTest, ReachesThisMachineByName) {
  TestServer server(
      [&](const auto& request, auto& connection) { ServeRanges("body", request, connection); });
  const absl::Status status =
      Fetch("body", {base::StrCat("http://localhost:", server.port(), "/f")});
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(DownloaderSourcesTest, FollowsRedirectsToOtherPortsOfThisMachine) {
  TestServer good(
      [&](const auto& request, auto& connection) { ServeRanges("body", request, connection); });
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    connection.Answer(
        "307 Temporary Redirect",
        base::StrCat("Location: ", request.path == "/f" ? "/again" : good.Url("/there"), "\r\n"),
        "");
  });
  const absl::Status status = Fetch("body", {server.Url("/f")});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), "body");
}

TEST_F(DownloaderSourcesTest, FollowsNoRedirectToOtherPlaces) {
  EXPECT_THAT(MessageOfRedirectTo("file:///etc/passwd"), HasSubstr("leads to file://"));
  EXPECT_THAT(MessageOfRedirectTo("ftp://example.com/f"), HasSubstr("leads to ftp://"));
  EXPECT_THAT(MessageOfRedirectTo("http://10.0.0.1/f"), HasSubstr("this machine alone"));
  EXPECT_THAT(MessageOfRedirectTo("https://10.0.0.1/f"), HasSubstr("not public"));
  EXPECT_THAT(MessageOfRedirectTo("https://169.254.169.254/f"), HasSubstr("no file is fetched"));
  EXPECT_THAT(MessageOfRedirectTo("https://user:pw@example.com/f"), HasSubstr("user or password"));
  EXPECT_THAT(MessageOfRedirectTo("//example.com/f"), HasSubstr("this machine alone"));
  EXPECT_THAT(MessageOfRedirectTo(""), HasSubstr("no usable address"));
}

TEST_F(DownloaderSourcesTest, FollowsNoRedirectFromHttpsToHttp) {
  EXPECT_THAT(
      ResolveRedirect("https://example.com/a", "http://127.0.0.1/f", false).status().message(),
      HasSubstr("from https:// to http://"));
  EXPECT_EQ(*ResolveRedirect("https://example.com/a/b", "../c?d", false),
            "https://example.com/c?d");
}

TEST_F(DownloaderSourcesTest, GetsOutOfARedirectLoop) {
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    connection.Answer("301 Moved", "Location: /f\r\n", "");
  });
  EXPECT_THAT(Message({server.Url("/f")}), HasSubstr("redirects more than 5 times"));
  EXPECT_THAT(server.requests(), SizeIs(6));
}

TEST_F(DownloaderSourcesTest, RefusesAnAnswerWithEndlessHeaders) {
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\n");
    while (connection.Send(base::StrCat("X: ", std::string(1000, 'x'), "\r\n"))) {
    }
    connection.Close();
  });
  EXPECT_THAT(Message({server.Url("/f")}), HasSubstr("more than 65536 bytes of headers"));
}

TEST_F(DownloaderSourcesTest, DecodesNothing) {
  // Compressed content is what it is: bytes with a hash.
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    EXPECT_FALSE(request.headers.contains("accept-encoding"));
    connection.Answer("200 OK", "Content-Encoding: gzip\r\n", "body");
  });
  EXPECT_TRUE(Fetch("body", {server.Url("/f")}).ok());
}

TEST_F(DownloaderSourcesTest, AsksTheGatewayForIpfs) {
  TestServer gateway(
      [&](const auto& request, auto& connection) { ServeRanges("body", request, connection); });
  options_.ipfs_gateway = gateway.Url("/");
  ASSERT_TRUE(Fetch("body", {"ipfs://bafybei123/dir/f"}).ok());
  ASSERT_THAT(gateway.requests(), SizeIs(1));
  EXPECT_EQ(gateway.requests()[0].path, "/ipfs/bafybei123/dir/f");
}

TEST_F(DownloaderSourcesTest, ReadsLocalFilesOnlyBelowOpenFolders) {
  const std::filesystem::path open = folder_.path() / "open";
  std::filesystem::create_directories(open / "sub");
  std::ofstream(open / "sub" / "a file") << "body";
  std::ofstream(folder_.path() / "secret") << "body";
  std::filesystem::create_symlink("../secret", open / "link");
  std::filesystem::create_directory_symlink("..", open / "up");
  ASSERT_EQ(::mkfifo((open / "fifo").c_str(), 0600), 0);
  options_.file_folders = {open};
  const std::string root = "file://" + folder_.path().native();
  for (const auto& [path, expected] : std::vector<std::pair<std::string, std::string>>{
           {"/secret", "outside of the folders"},
           {"/opensecret", "outside of the folders"},
           {"/open/link", "symbolic link"},
           {"/open/up/secret", "symbolic link"},
           {"/open/%2e%2e/secret", ""},
           {"/open/sub/%2e%2e%2f%2e%2e%2fsecret", "leads out of its folder"},
           {"/open/fifo", "not a regular file"},
           {"/open/sub", "not a regular file"},
           {"/open/missing", "No such file"},
           {"/open/sub/a%00", "file:///"}}) {
    EXPECT_THAT(Message({root + path}), HasSubstr(expected)) << path;
  }
  std::ofstream(open / "long") << "longer body";
  EXPECT_THAT(Message({root + "/open/long"}), HasSubstr("has 11 bytes, expected 4"));
  const absl::Status status = Fetch("body", {root + "/open/sub/a%20file"});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Target(), "body");
}

// Serves a text, wrongly if it shall.
class FakeChunks final : public ChunkSource {
 public:
  explicit FakeChunks(std::string body) : body_(std::move(body)) {}
  absl::Status Read(const std::string& source, std::uint64_t offset, std::uint64_t length,
                    const ByteSink& sink, std::stop_token stop) override {
    ++reads;
    if (source.ends_with("/missing")) return absl::NotFoundError("no such file");
    if (source.ends_with("/silent")) {
      std::mutex mutex;
      std::condition_variable_any never;
      std::unique_lock lock(mutex);
      never.wait(lock, stop, [] { return false; });
      return absl::CancelledError("stopped");
    }
    if (source.ends_with("/more")) ++length;
    if (source.ends_with("/flaky") && reads < 3) length = 0;
    return sink(std::string_view(body_).substr(offset, length));
  }
  std::atomic<int> reads = 0;

 private:
  const std::string body_;
};

TEST_F(DownloaderSourcesTest, ReadsOtherSchemesThroughTheReaderGiven) {
  FakeChunks chunks("body and more");
  options_.chunk_sources = {{"grpc", &chunks}};
  EXPECT_THAT(Message({"grpc://h:1/missing"}), HasSubstr("grpc://h:1/missing: no such file"));
  EXPECT_EQ(chunks.reads, 1);
  EXPECT_THAT(Message({"grpc://h:1/more"}), HasSubstr("sent more than the 4 bytes"));
  options_.stall_timeout = std::chrono::milliseconds(100);
  EXPECT_THAT(Message({"grpc://h:1/silent"}), HasSubstr("stalled"));
  chunks.reads = 0;
  ASSERT_TRUE(Fetch("body", {"grpc://h:1/flaky"}).ok());
  EXPECT_EQ(chunks.reads, 3);
  EXPECT_EQ(Target(), "body");
}

}  // namespace
}  // namespace ncn::transfer
