#include "signing/subnet_signature.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "signing/eip712.h"
#include "signing/testing_wallet.h"
#include "signing/typed_message.h"

namespace ncn::signing {
namespace {

using inference::Subnet;
using nlohmann::json;

Subnet Sample(std::size_t models = 3) {
  Subnet subnet{.subnet_id = 7,
                .name = "naïve \"subnet\"",
                .owner_address = kTestAddress,
                .version = 12345678901234567890ULL};
  for (std::size_t i = 0; i < models; ++i) {
    inference::SubnetModel model{.model = *inference::ModelId::Parse("m" + std::to_string(i)),
                                 .version = std::to_string(i),
                                 .format = "onnx",
                                 .executor_script = i % 2 == 0 ? "run.py" : "",
                                 .memory_bytes_min = i << 30};
    for (std::size_t f = 0; f < i; ++f) {
      model.files.push_back({.path = "files/" + std::to_string(f),
                             .size_bytes = f * 1000,
                             .sha256 = base::AsHex(base::Sha256(std::to_string(f))),
                             .sources = {"https://mirror.example"},
                             .unpack = f == 1});
    }
    subnet.models.push_back(std::move(model));
  }
  return subnet;
}

json Fields(std::initializer_list<std::pair<const char*, const char*>> fields) {
  json list = json::array();
  for (const auto& [type, name] : fields) list.push_back({{"name", name}, {"type", type}});
  return list;
}

// The same message as any wallet gets it.
json TypedData(const Subnet& subnet) {
  json models = json::array();
  for (const auto& model : subnet.models) {
    json files = json::array();
    for (const auto& file : model.files) {
      files.push_back({{"path", file.path},
                       {"sizeBytes", file.size_bytes},
                       {"sha256", "0x" + file.sha256},
                       {"unpack", file.unpack}});
    }
    models.push_back({{"model", model.model.value()},
                      {"version", model.version},
                      {"format", model.format},
                      {"files", files},
                      {"executorScript", model.executor_script},
                      {"memoryBytesMin", model.memory_bytes_min}});
  }
  return {{"domain", {{"name", kDomainName}, {"version", kDomainVersion}}},
          {"primaryType", "SubnetMetadata"},
          {"types",
           {{"SubnetMetadata", Fields({{"uint32", "subnetId"},
                                       {"string", "name"},
                                       {"address", "owner"},
                                       {"uint64", "version"},
                                       {"SubnetModel[]", "models"}})},
            {"SubnetModel", Fields({{"string", "model"},
                                    {"string", "version"},
                                    {"string", "format"},
                                    {"SubnetFile[]", "files"},
                                    {"string", "executorScript"},
                                    {"uint64", "memoryBytesMin"}})},
            {"SubnetFile", Fields({{"string", "path"},
                                   {"uint64", "sizeBytes"},
                                   {"bytes32", "sha256"},
                                   {"bool", "unpack"}})}}},
          {"message",
           {{"subnetId", subnet.subnet_id},
            {"name", subnet.name},
            {"owner", subnet.owner_address},
            {"version", subnet.version},
            {"models", models}}}};
}

TEST(SubnetSignatureTest, TheDigestIsThatOfTheTypedMessage) {
  for (const std::size_t models : {0, 1, 2, 5}) {
    const Subnet subnet = Sample(models);
    const auto expected = TypedDataDigest(TypedData(subnet));
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_EQ(base::AsHex(*SubnetDigest(subnet)), base::AsHex(*expected)) << models;
  }
}

TEST(SubnetSignatureTest, CoversEverythingButTheSources) {
  const Wallet owner = TestWallet();
  Subnet subnet = Sample();
  EXPECT_TRUE(absl::IsFailedPrecondition(VerifySubnet(subnet).status()));
  subnet.owner_signature = *SignSubnet(owner, subnet);
  ASSERT_TRUE(VerifySubnet(subnet).ok()) << VerifySubnet(subnet).status();
  EXPECT_EQ(VerifySubnet(subnet)->ToString(), kTestAddress);
  Subnet moved = subnet;
  moved.models[1].files[0].sources = {"https://other.example"};
  EXPECT_TRUE(VerifySubnet(moved).ok());

  const std::vector<std::function<void(Subnet&)>> changes = {
      [](auto& s) { ++s.subnet_id; },
      [](auto& s) { s.name += "x"; },
      [](auto& s) { s.owner_address = "0x0000000000000000000000000000000000000001"; },
      [](auto& s) { ++s.version; },
      [](auto& s) { s.models.pop_back(); },
      [](auto& s) { std::swap(s.models[0], s.models[1]); },
      [](auto& s) { s.models[1].model = *inference::ModelId::Parse("other"); },
      [](auto& s) { s.models[1].version = "x"; },
      [](auto& s) { s.models[1].format = "checkpoint"; },
      [](auto& s) { s.models[1].executor_script = "other.py"; },
      [](auto& s) { ++s.models[1].memory_bytes_min; },
      [](auto& s) { s.models[1].files.clear(); },
      [](auto& s) { s.models[1].files[0].path = "other"; },
      [](auto& s) { ++s.models[1].files[0].size_bytes; },
      [](auto& s) {
        s.models[1].files[0].sha256[0] = s.models[1].files[0].sha256[0] == '0' ? '1' : '0';
      },
      [](auto& s) { s.models[1].files[0].unpack = true; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Subnet changed = subnet;
    changes[i](changed);
    EXPECT_TRUE(absl::IsPermissionDenied(VerifySubnet(changed).status())) << i;
  }
}

TEST(SubnetSignatureTest, OnlyItsOwnerSignsASubnet) {
  Subnet subnet = Sample();
  subnet.owner_address = "0x0000000000000000000000000000000000000001";
  EXPECT_TRUE(absl::IsInvalidArgument(SignSubnet(TestWallet(), subnet).status()));
  subnet.models[2].files[0].sha256 = "short";
  EXPECT_TRUE(absl::IsInvalidArgument(SubnetDigest(subnet).status()));
}

TEST(FileUploadTest, TheSignerIsFoundAndEveryFieldCounts) {
  const FileUpload upload{.subnet_id = 7,
                          .sha256 = std::string(64, 'a'),
                          .size_bytes = ~0ULL,
                          .expires_seconds = 1767225600};
  const std::string signature = *SignFileUpload(TestWallet(), upload);
  EXPECT_EQ(RecoverFileUploadSigner(upload, signature)->ToString(), kTestAddress);
  std::vector<FileUpload> others(4, upload);
  others[0].subnet_id = 8;
  others[1].sha256[0] = 'b';
  others[2].size_bytes -= 1;
  others[3].expires_seconds += 1;
  for (const FileUpload& other : others) {
    const auto signer = RecoverFileUploadSigner(other, signature);
    EXPECT_TRUE(!signer.ok() || signer->ToString() != kTestAddress);
  }
  EXPECT_FALSE(RecoverFileUploadSigner(upload, "short").ok());
}

}  // namespace
}  // namespace ncn::signing
