#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "ncn/v2/p2p_registry.pb.h"
#include "wire/codec.h"

namespace ncn::wire {
namespace {

inference::Subnet Sample() {
  return {.subnet_id = 7,
          .name = "digits",
          .owner_address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
          .version = 3,
          .models = {{.model = *inference::ModelId::Parse("m"),
                      .version = "1.0",
                      .format = "torchscript",
                      .files = {{.path = "m.tar.gz",
                                 .size_bytes = 5,
                                 .sha256 = std::string(64, 'a'),
                                 .sources = {"https://a.example/m", "ipfs://b"},
                                 .unpack = true}},
                      .executor_script = "run.py",
                      .memory_bytes_min = 1 << 20}},
          .owner_signature = std::string(65, 's')};
}

v2::Subnet Message(const inference::Subnet& subnet) {
  v2::Subnet message;
  Encode(subnet, &message);
  return message;
}

TEST(SubnetCodecTest, EverythingSurvivesTheWayThereAndBack) {
  const auto decoded = Decode(Message(Sample()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(Message(*decoded).SerializeAsString(), Message(Sample()).SerializeAsString());
  const inference::SubnetFile& file = decoded->models[0].files[0];
  EXPECT_TRUE(file.unpack);
  EXPECT_EQ(file.sources.size(), 2u);
  EXPECT_EQ(decoded->models[0].executor_script, "run.py");
}

TEST(SubnetCodecTest, ASummaryHasNeitherModelsNorSignature) {
  v2::Subnet message;
  EncodeSummary(Sample(), &message);
  EXPECT_EQ(message.models_size(), 0);
  EXPECT_EQ(message.owner_signature(), "");
  EXPECT_TRUE(Decode(std::move(message)).ok());
}

TEST(SubnetCodecTest, RefusesWhatBreaksARuleAndNamesIt) {
  const std::vector<std::pair<std::string, std::function<void(v2::Subnet&)>>> cases = {
      {"model name", [](auto& m) { m.mutable_models(0)->set_model("../m"); }},
      {"files has 1001",
       [](auto& m) {
         for (int i = 0; i < 1000; ++i) m.mutable_models(0)->add_files();
       }},
      {"sources has 17",
       [](auto& m) {
         for (int i = 0; i < 15; ++i) m.mutable_models(0)->mutable_files(0)->add_sources("x");
       }},
      {"models has 10001",
       [](auto& m) {
         for (int i = 0; i < 10000; ++i) m.add_models();
       }},
      {"path", [](auto& m) { m.mutable_models(0)->mutable_files(0)->set_path("/etc/passwd"); }},
      {"owner_signature", [](auto& m) { m.set_owner_signature("short"); }},
  };
  for (const auto& [word, spoil] : cases) {
    v2::Subnet message = Message(Sample());
    spoil(message);
    const auto decoded = Decode(std::move(message));
    ASSERT_FALSE(decoded.ok()) << word;
    EXPECT_NE(decoded.status().message().find(word), absl::string_view::npos) << decoded.status();
  }
}

TEST(DiscoveryCodecTest, NodesAndQueriesSurviveTheWayThereAndBack) {
  const std::vector<DiscoveredNode> nodes = {
      {.info = {.address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
                .supported_models = {"digits"},
                .subnet_id = 7},
       .role = NodeRole::kValidator,
       .endpoint = "https://v.example:443",
       .last_seen_seconds = 1767225600}};
  v2::DiscoverNodesResponse response;
  Encode(nodes, &response);
  const auto decoded = Decode(std::move(response));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->size(), 1u);
  EXPECT_EQ(decoded->front().role, NodeRole::kValidator);
  EXPECT_EQ(decoded->front().endpoint, "https://v.example:443");
  EXPECT_EQ(decoded->front().info.subnet_id, 7u);

  v2::DiscoverNodesRequest request;
  Encode(NodeQuery{.subnet_id = 7, .model = "m", .role = NodeRole::kCompute, .limit = 5}, &request);
  const auto query = Decode(std::move(request));
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->role, NodeRole::kCompute);
  EXPECT_EQ(query->limit, 5u);
  v2::DiscoverNodesRequest bad;
  bad.set_model("../x");
  EXPECT_FALSE(Decode(std::move(bad)).ok());
}

}  // namespace
}  // namespace ncn::wire
