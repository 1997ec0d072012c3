#include "inference/subnet.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::inference {
namespace {

using testing::HasSubstr;

SubnetFile File(const std::string& path) {
  return {.path = path,
          .size_bytes = 5,
          .sha256 = std::string(64, 'a'),
          .sources = {"https://mirror.example/x"}};
}

Subnet Good() {
  return {.subnet_id = 1,
          .name = "digits",
          .owner_address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23",
          .version = 1,
          .models = {{.model = *ModelId::Parse("m"),
                      .version = "1",
                      .format = "onnx",
                      .files = {File("model.onnx"), File("run.py"), File("data/labels.txt")},
                      .executor_script = "run.py"}},
          .owner_signature = std::string(65, 's')};
}

TEST(FilePathTest, TakesPlainVisiblePathsAlone) {
  for (const std::string path : {"a", "a/b/c.txt", "naïve.onnx", "a b", "1/2/3/4/5/6/7/8"}) {
    EXPECT_TRUE(CheckFilePath(path).ok()) << path;
  }
  for (const std::string& path :
       {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"), std::string(".."),
        std::string("a/../b"), std::string("./a"), std::string(".ncn/x"), std::string("a/.b"),
        std::string("a\\b"), std::string("a\0b", 3), std::string("a\nb"), std::string("a\x7f"),
        std::string("\xff"), std::string(256, 'a'), std::string("1/2/3/4/5/6/7/8/9"),
        std::string(255, 'a') + "/" + std::string(255, 'b') + "/c"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckFilePath(path))) << path;
  }
}

TEST(SubnetTest, TakesWhatKeepsToTheRules) {
  EXPECT_TRUE(Validate(Good()).ok()) << Validate(Good());
  Subnet subnet = Good();
  subnet.owner_signature.clear();
  subnet.models.clear();
  subnet.name.clear();
  EXPECT_TRUE(Validate(subnet).ok()) << Validate(subnet);
  subnet = Good();
  subnet.models[0].files = {File("model.tar.gz")};
  subnet.models[0].files[0].unpack = true;
  EXPECT_TRUE(Validate(subnet).ok()) << "the script may be inside: " << Validate(subnet);
}

TEST(SubnetTest, NamesModelAndFieldOfWhatBreaksARule) {
  const std::vector<std::pair<std::string, std::function<void(Subnet&)>>> cases = {
      {"subnet_id", [](auto& s) { s.subnet_id = 0; }},
      {"name", [](auto& s) { s.name = "a\nb"; }},
      {"owner_address", [](auto& s) { s.owner_address = "0x12"; }},
      {"version", [](auto& s) { s.version = 0; }},
      {"owner_signature has 64", [](auto& s) { s.owner_signature.pop_back(); }},
      {"'m' is there twice", [](auto& s) { s.models.push_back(s.models[0]); }},
      {"model 'm': version", [](auto& s) { s.models[0].version = std::string(129, 'v'); }},
      {"model 'm': format", [](auto& s) { s.models[0].format = "pickle"; }},
      {"model 'm': files: there are none", [](auto& s) { s.models[0].files.clear(); }},
      {"model 'm': files: 1001",
       [](auto& s) { s.models[0].files.resize(1001, s.models[0].files[0]); }},
      {"model 'm': files[1].path", [](auto& s) { s.models[0].files[1].path = "../x"; }},
      {"model 'm': files[0].size_bytes",
       [](auto& s) { s.models[0].files[0].size_bytes = (1ULL << 40) + 1; }},
      {"model 'm': files[2].sha256",
       [](auto& s) { s.models[0].files[2].sha256 = std::string(64, 'A'); }},
      {"model 'm': files[0].sources: 17",
       [](auto& s) { s.models[0].files[0].sources.resize(17, "https://x"); }},
      {"model 'm': files[0].sources",
       [](auto& s) { s.models[0].files[0].sources = {std::string(2049, 'x')}; }},
      {"different for each file", [](auto& s) { s.models[0].files[2].path = "run.py"; }},
      {"outside of every other file",
       [](auto& s) { s.models[0].files[2].path = "model.onnx/labels.txt"; }},
      {"executor_script", [](auto& s) { s.models[0].executor_script = "data/labels.txt"; }},
      {"executor_script", [](auto& s) { s.models[0].executor_script = "other.py"; }},
  };
  for (const auto& [word, spoil] : cases) {
    Subnet subnet = Good();
    spoil(subnet);
    const absl::Status status = Validate(subnet);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << word;
    EXPECT_THAT(std::string(status.message()), HasSubstr(word));
    EXPECT_LT(status.message().size(), 1000u);
  }
}

TEST(SubnetTest, TakesTenThousandModelsAndNoMore) {
  Subnet subnet = Good();
  const SubnetModel sample = subnet.models[0];
  subnet.models.clear();
  for (std::size_t i = 0; i < kSubnetModelsMax; ++i) {
    subnet.models.push_back(sample);
    subnet.models.back().model = *ModelId::Parse("m" + std::to_string(i));
  }
  EXPECT_TRUE(Validate(subnet).ok());
  subnet.models.push_back(sample);
  EXPECT_THAT(std::string(Validate(subnet).message()), HasSubstr("models: 10001"));
}

}  // namespace
}  // namespace ncn::inference
