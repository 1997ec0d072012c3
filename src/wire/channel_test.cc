#include "wire/channel.h"

#include "absl/strings/match.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"

namespace ncn::wire {
namespace {

TEST(EndpointTest, ReadsTheFormsThatOperatorsWrite) {
  const auto plain = ParseEndpoint("http://127.0.0.1:50051");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->Authority(), "127.0.0.1:50051");
  EXPECT_FALSE(plain->tls);
  const auto tls = ParseEndpoint("https://gateway.example:443/");
  ASSERT_TRUE(tls.ok());
  EXPECT_EQ(tls->host, "gateway.example");
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(ParseEndpoint("localhost:1")->Authority(), "localhost:1");
  EXPECT_EQ(ParseEndpoint("http://[::1]:50051")->Authority(), "[::1]:50051");
}

TEST(EndpointTest, RefusesWhatIsNoAddressAndShowsOne) {
  for (const char* address :
       {"", "http://", "127.0.0.1", "http://127.0.0.1", "ftp://a:1", "http://a:0", "http://a:65536",
        "http://a:1x", "http://a:-1", "http://:1", "http://a b:1", "http://a/path:1",
        "http://[::1]", "http://[a%b]:1", "http://user@host:1", "unix:/tmp/x", "http://a:1\n"}) {
    const auto endpoint = ParseEndpoint(address);
    EXPECT_EQ(endpoint.status().code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_TRUE(absl::StrContains(endpoint.status().message(), "http://127.0.0.1:50051"))
        << endpoint.status();
  }
}

TEST(ChannelTest, ReportsACaFileThatCannotBeRead) {
  const auto channel = MakeChannel("https://a:1", {.ca_file = "/nonexistent.pem"});
  EXPECT_EQ(channel.status().code(), absl::StatusCode::kNotFound) << channel.status();
}

}  // namespace
}  // namespace ncn::wire
