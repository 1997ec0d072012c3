#include "models/model_format.h"

#include <fcntl.h>

#include "base/files.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::models {
namespace {

using testing::AllOf;
using testing::HasSubstr;

absl::StatusOr<ModelFormat> Detect(const std::string& bytes, std::string_view name = "model") {
  const absl::StatusOr<base::UniqueFd> fd = base::SealedMemory("model", bytes);
  return DetectFormat(fd->get(), name);
}

std::string Error(const std::string& bytes, std::string_view name = "model") {
  return std::string(Detect(bytes, name).status().message());
}

TEST(ModelFormatTest, NamesGoBothWays) {
  for (const ModelFormat format : {ModelFormat::kTorchScript, ModelFormat::kTorchCheckpoint,
                                   ModelFormat::kOnnx, ModelFormat::kSafetensors}) {
    EXPECT_EQ(ModelFormatFromName(Name(format)), format);
  }
  EXPECT_EQ(ModelFormatFromName("tensorflow"), std::nullopt);
}

TEST(ModelFormatTest, TakesModelNamesFromFileNames) {
  EXPECT_EQ(ModelNameOf("digits_model.pt"), "digits");
  EXPECT_EQ(ModelNameOf("digits.onnx"), "digits");
  EXPECT_EQ(ModelNameOf("a.b_model.safetensors"), "a.b");
  EXPECT_EQ(ModelNameOf("model.pth"), "model");
  EXPECT_EQ(ModelNameOf("_model.pt"), "_model");
  for (const char* none : {"digits", "digits.txt", ".pt", ".hidden.pt", "pt", "", "x.PT"}) {
    EXPECT_EQ(ModelNameOf(none), "") << none;
  }
}

TEST(ModelFormatTest, TellsFormatsByContent) {
  EXPECT_EQ(*Detect(TorchScriptFile()), ModelFormat::kTorchScript);
  EXPECT_EQ(*Detect(CheckpointFile()), ModelFormat::kTorchCheckpoint);
  EXPECT_EQ(*Detect(OnnxFile()), ModelFormat::kOnnx);
  EXPECT_EQ(*Detect(SafetensorsFile()), ModelFormat::kSafetensors);
  const std::string old_checkpoint("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e",
                                   15);
  EXPECT_EQ(*Detect(old_checkpoint), ModelFormat::kTorchCheckpoint);
}

TEST(ModelFormatTest, ReadsLargeArchivesAndComments) {
  const std::vector<std::string> names = {"m/data.pkl", "m/code/x.py"};
  EXPECT_EQ(*Detect(ZipFile(names, /*large=*/true)), ModelFormat::kTorchScript);
  EXPECT_EQ(*Detect(ZipFile(names, true, "PK\x05\x06 a comment")), ModelFormat::kTorchScript);
}

TEST(ModelFormatTest, AcceptsTheNameThatFits) {
  EXPECT_TRUE(Detect(TorchScriptFile(), "a.pt").ok());
  EXPECT_TRUE(Detect(CheckpointFile(), "a.pth").ok());
  EXPECT_TRUE(Detect(OnnxFile(), "a.onnx").ok());
  EXPECT_TRUE(Detect(SafetensorsFile(), "a.safetensors").ok());
  EXPECT_TRUE(Detect(SafetensorsFile(), "a.weights").ok());
}

TEST(ModelFormatTest, RefusesAWrongNameAndSaysBothFormats) {
  EXPECT_THAT(Error(SafetensorsFile(), "a.onnx"),
              AllOf(HasSubstr("a.onnx: its name promises an ONNX model"),
                    HasSubstr("its content is a safetensors file"), HasSubstr("*.safetensors")));
  EXPECT_THAT(Error(OnnxFile(), "a.pt"),
              AllOf(HasSubstr("a TorchScript archive or a torch.save checkpoint"),
                    HasSubstr("an ONNX model")));
  EXPECT_EQ(Detect(OnnxFile(), "a.pt").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ModelFormatTest, FindsEveryTruncation) {
  for (const auto& [whole, name] :
       {std::pair(TorchScriptFile(), "a.pt"), std::pair(ZipFile({"m/data.pkl"}, true), "a.pth"),
        std::pair(SafetensorsFile(), "a.safetensors")}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const absl::Status status = Detect(whole.substr(0, size), name).status();
      ASSERT_FALSE(status.ok()) << name << " of " << size;
      EXPECT_THAT(std::string(status.message()), HasSubstr("its name promises"));
    }
    EXPECT_EQ(Detect(whole.substr(0, whole.size() - 1), name).status().code(),
              absl::StatusCode::kDataLoss);
  }
  const std::string onnx = OnnxFile();
  for (std::size_t size = 0; size + 4 < onnx.size(); ++size) {  // The last field is optional.
    EXPECT_FALSE(Detect(onnx.substr(0, size), "a.onnx").ok()) << size;
  }
  EXPECT_THAT(Error(onnx.substr(0, 12), "a.onnx"), HasSubstr("truncated"));
  EXPECT_THAT(Error(onnx.substr(0, 6), "a.onnx"), HasSubstr("without its graph"));
}

TEST(ModelFormatTest, RefusesDamagedArchives) {
  EXPECT_THAT(Error(ZipFile({"word/document.xml"})), HasSubstr("neither torch.save"));
  EXPECT_THAT(Error(ZipFile({})), HasSubstr("of no known model format"));
  std::string damaged = TorchScriptFile();
  damaged[damaged.find("PK\x01\x02") + 2] = 'x';
  EXPECT_THAT(Error(damaged), HasSubstr("damaged directory"));
  std::string far_away = TorchScriptFile();
  far_away[far_away.size() - 3] = '\x70';  // The directory's offset.
  EXPECT_THAT(Error(far_away), HasSubstr("beyond its end"));
  std::string huge = TorchScriptFile();
  huge[huge.size() - 7] = '\x7f';  // The directory's size.
  EXPECT_THAT(Error(huge), HasSubstr("more than"));
}

TEST(ModelFormatTest, RefusesUnsoundSafetensors) {
  const auto with = [](std::string_view header, std::size_t data_bytes) {
    return Error(SafetensorsFile(header, std::string(data_bytes, 'x')));
  };
  EXPECT_THAT(with(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7),
              HasSubstr("truncated"));
  EXPECT_THAT(with(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9),
              HasSubstr("1 bytes after"));
  EXPECT_THAT(with(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
              HasSubstr("entry 'w' has data of another size"));
  EXPECT_THAT(with(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2),
              HasSubstr("gaps"));
  EXPECT_THAT(with(R"({"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                   R"("v":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                   3),
              HasSubstr("overlap"));
  EXPECT_THAT(with(R"({"w":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],)"
                   R"("data_offsets":[0,2]}})",
                   2),
              HasSubstr("impossible shape"));
  EXPECT_THAT(with("{}", 0), HasSubstr("without any tensor"));
  EXPECT_THAT(with(R"({"w":)", 0), HasSubstr("no JSON"));
  for (const char* header :
       {R"({"w":{}})", R"({"w":1})", R"({"w":[]})", R"({"w":null})", R"({"w":{"dtype":[]}})",
        R"({"w":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})",
        R"({"w":{"dtype":"U8","shape":[0.5],"data_offsets":[0,0]}})",
        R"({"w":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})",
        R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[0]}})",
        R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}})",
        R"({"w":{"dtype":"U8","shape":[0],"data_offsets":{}}})",
        R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})",
        R"({"__metadata__":{"a":1}})", R"({"__metadata__":{"a":[]}})"}) {
    EXPECT_THAT(with(header, 0), HasSubstr("is not {dtype, shape, data_offsets}")) << header;
  }
  EXPECT_THAT(Error(LittleEndianBytes<std::uint64_t>(5000) + "{"), HasSubstr("header alone"));
}

TEST(ModelFormatTest, RefusesUnsoundOnnx) {
  const std::string empty_graph("\x08\x08\x3a\x00", 4);
  EXPECT_THAT(Error(empty_graph), HasSubstr("empty graph"));
  const std::string bad_graph("\x08\x08\x3a\x02\x0a\x7f", 6);
  EXPECT_THAT(Error(bad_graph), HasSubstr("truncated at byte"));
  const std::string bad_tag("\x08\x08\x07", 3);
  EXPECT_THAT(Error(bad_tag), HasSubstr("damaged"));
}

TEST(ModelFormatTest, NamesStrangersWithTheirCure) {
  EXPECT_THAT(Error("", "a.pt"), HasSubstr("its content is empty (0 bytes)"));
  EXPECT_THAT(Error("version https://git-lfs.github.com/spec/v1\n", "a.pt"),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(Error("<!DOCTYPE html>", "a.onnx"), HasSubstr("error page"));
  EXPECT_THAT(Error("GGUF", "a.pt"), HasSubstr("GGUF"));
  EXPECT_THAT(Error("hello world", "a.pt"), HasSubstr("begins with 68656c6c6f20776f"));
  EXPECT_THAT(Error("\x80\x04\x95 a pickle", "a.pt"), HasSubstr("pickle"));
}

TEST(ModelFormatTest, RefusesFoldersAndMissingFiles) {
  EXPECT_FALSE(DetectFormat("/tmp").ok());
  EXPECT_EQ(DetectFormat("/no/such.pt").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ncn::models
