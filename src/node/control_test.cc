#include "node/control.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ncn::node {
namespace {

class ControlTest : public testing::Test {
 protected:
  ControlTest() {
    char name[] = "/tmp/ncn_control_XXXXXX";
    folder = ::mkdtemp(name);
    path = folder / "node.sock";
  }
  ~ControlTest() override { std::filesystem::remove_all(folder); }

  static ControlSources Sources() {
    return {.statistics =
                [] {
                  return StatisticsReport{R"({"total":3})", {3, 2, 1, 40}};
                },
            .node =
                [] {
                  return NodeReport{.info = {.address = "0xabc", .state = wire::NodeState::kReady},
                                    .gateway_address = "http://127.0.0.1:50051",
                                    .connected = true,
                                    .reconnects = 2};
                },
            .models =
                [] {
                  return std::vector<ModelReport>{
                      {.model = "digits",
                       .format = "onnx",
                       .size_bytes = 10,
                       .sha256 = "ab",
                       .version = "3",
                       .pinned = true,
                       .isolation = "rewind"},
                      {.model = "broken", .size_bytes = 1, .problems = {"is truncated"}}};
                }};
  }

  std::filesystem::path folder;
  std::filesystem::path path;
};

TEST_F(ControlTest, AnswersAnOperatorsQuestions) {
  const auto server = ControlServer::Start(path, Sources());
  ASSERT_TRUE(server.ok()) << server.status();
  const auto client = ControlClient::Make(path);
  const auto statistics = client->GetStatistics();
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  EXPECT_EQ(statistics->json, R"({"total":3})");
  EXPECT_EQ(statistics->totals.executions_failed, 1U);
  const auto node = client->GetNodeInfo();
  ASSERT_TRUE(node.ok());
  EXPECT_TRUE(node->connected);
  EXPECT_EQ(node->info.state, wire::NodeState::kReady);
  const auto models = client->ListModels();
  ASSERT_TRUE(models.ok());
  ASSERT_EQ(models->size(), 2U);
  EXPECT_EQ(models->at(0).version, "3");
  EXPECT_TRUE(models->at(0).pinned);
  EXPECT_EQ(models->at(0).isolation, "rewind");
  EXPECT_EQ(models->at(1).problems.at(0), "is truncated");
}

TEST_F(ControlTest, OnlyTheOwnerMayOpenTheSocketAndItGoesWithTheNode) {
  auto server = ControlServer::Start(path, Sources());
  ASSERT_TRUE(server.ok());
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  server->reset();
  EXPECT_NE(::stat(path.c_str(), &status), 0);
}

TEST_F(ControlTest, SaysWhenNoNodeListens) {
  const auto statistics = ControlClient::Make(path)->GetStatistics();
  EXPECT_EQ(statistics.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(statistics.status().message().find("is compute_node running?"),
            absl::string_view::npos);
}

TEST_F(ControlTest, DoesNotTakeTheSocketOfALivingNode) {
  const auto first = ControlServer::Start(path, Sources());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(ControlServer::Start(path, Sources()).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(ControlClient::Make(path)->GetStatistics().ok());
}

TEST_F(ControlTest, ReplacesOnlyASocketThatWasLeftBehind) {
  std::ofstream(path) << "precious";
  EXPECT_EQ(ControlServer::Start(path, Sources()).status().code(),
            absl::StatusCode::kAlreadyExists);
  std::filesystem::remove(path);
  // A socket whose owner is gone: bound, then closed without being removed.
  {
    const base::UniqueFd relic(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX};
    path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(relic.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  EXPECT_TRUE(ControlServer::Start(path, Sources()).ok());
}

TEST_F(ControlTest, RefusesAPathThatNoSocketCanHave) {
  EXPECT_EQ(ControlServer::Start(folder / std::string(200, 'x'), Sources()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ncn::node
