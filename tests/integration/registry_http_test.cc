// The HTTP side of the reference registry, asked by an ordinary client.
#include <arpa/inet.h>
#include <httplib.h>

#include "gmock/gmock.h"
#include "registry_fixture.h"

namespace ncn {
namespace {

using testing::HasSubstr;

class RegistryHttpTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(registry_.client->CreateSubnet(SignedSubnet(owner_, 1)).ok());
    const registry::UploadPermit permit = Permit(owner_, content_);
    ASSERT_TRUE(registry_.client->Upload(FileWith(content_).get(), permit, {}).ok());
    path_ = "/files/" + permit.sha256;
    etag_ = "\"" + permit.sha256 + "\"";
    client_ = std::make_unique<httplib::Client>(registry_.server->http_address());
  }

  httplib::Result Get(const std::string& range, httplib::Headers headers = {}) {
    headers.emplace("Range", range);
    return client_->Get(path_, headers);
  }

  TestRegistry registry_;
  const signing::Wallet owner_ = NewWallet();
  const std::string content_ = Bytes((1 << 20) + 5);
  std::string path_;
  std::string etag_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(RegistryHttpTest, GivesAFileWholeWithItsHashAsTag) {
  const auto answer = client_->Get(path_);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, content_);
  EXPECT_EQ(answer->get_header_value("ETag"), etag_);
  const auto head = client_->Head(path_);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->get_header_value("Content-Length"), std::to_string(content_.size()));
  EXPECT_EQ(client_->Get(path_, {{"If-None-Match", etag_}})->status, 304);
}

TEST_F(RegistryHttpTest, GivesRangesAsTheStandardWantsThem) {
  const std::string size = std::to_string(content_.size());
  const std::pair<std::string, std::pair<std::string, std::string>> cases[] = {
      {"bytes=0-9", {content_.substr(0, 10), "bytes 0-9/" + size}},
      {"bytes=1048570-", {content_.substr(1048570), "bytes 1048570-1048580/" + size}},
      {"bytes=-3", {content_.substr(content_.size() - 3), "bytes 1048578-1048580/" + size}},
      {"bytes=1048580-99999999999", {content_.substr(1048580), "bytes 1048580-1048580/" + size}},
      {"bytes=-99999999999", {content_, "bytes 0-1048580/" + size}},
      {"bytes=5-6,99999999-", {content_.substr(5, 2), "bytes 5-6/" + size}},
  };
  for (const auto& [range, expected] : cases) {
    const auto answer = Get(range);
    ASSERT_TRUE(answer) << range;
    EXPECT_EQ(answer->status, 206) << range;
    EXPECT_TRUE(answer->body == expected.first) << range;
    EXPECT_EQ(answer->get_header_value("Content-Range"), expected.second) << range;
  }
}

TEST_F(RegistryHttpTest, GivesSeveralRangesWithTheirPlaces) {
  const auto answer = Get("bytes=0-3,10-12");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 206);
  EXPECT_THAT(answer->get_header_value("Content-Type"), HasSubstr("multipart/byteranges"));
  EXPECT_THAT(answer->body, HasSubstr("Content-Range: bytes 0-3/1048581\r\n\r\n" +
                                      content_.substr(0, 4) + "\r\n--"));
  EXPECT_THAT(answer->body, HasSubstr("Content-Range: bytes 10-12/1048581\r\n\r\n" +
                                      content_.substr(10, 3) + "\r\n--"));
}

TEST_F(RegistryHttpTest, RefusesRangesThatDoNotExist) {
  const auto answer = Get("bytes=1048581-");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 416);
  EXPECT_EQ(answer->get_header_value("Content-Range"), "bytes */1048581");
  EXPECT_EQ(Get("bytes=9-5")->status, 416);
  std::string many = "bytes=0-0";
  for (int i = 1; i < 20; ++i) many += ",0-0";
  EXPECT_EQ(Get(many)->status, 416);
  EXPECT_EQ(Get("bytes=0-9", {{"If-Range", "\"another\""}})->status, 200);
  EXPECT_EQ(Get("bytes=0-9", {{"If-Range", etag_}})->status, 206);
}

TEST_F(RegistryHttpTest, ServesNothingElse) {
  for (const std::string& path :
       {std::string("/"), std::string("/files/"), path_ + "/", std::string("/files/../registry.db"),
        path_ + "/../../registry.db", std::string("/files/%2e%2e/registry.db"),
        "/files/" + std::string(64, 'A'), "/files/" + std::string(64, 'a'),
        "/files/" + std::string(4000, 'a')}) {
    const auto answer = client_->Get(path);
    ASSERT_TRUE(answer) << path;
    EXPECT_EQ(answer->status, 404) << path;
  }
  const auto put = client_->Put(path_, "other", "text/plain");
  EXPECT_TRUE(!put || put->status >= 400);
  EXPECT_EQ(client_->Get(path_)->body, content_);
}

TEST_F(RegistryHttpTest, WhoReadsNothingHoldsUpNobody) {
  std::vector<int> sockets;
  for (int i = 0; i < 20; ++i) {
    base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string url = registry_.server->http_address();
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = "GET " + path_ + " HTTP/1.1\r\nHost: x\r\n\r\n";
    ASSERT_TRUE(base::WriteAll(fd.get(), request).ok());
    sockets.push_back(fd.release());
  }
  EXPECT_EQ(client_->Get(path_)->body, content_);
  for (const int socket : sockets) ::close(socket);
}

}  // namespace
}  // namespace ncn
