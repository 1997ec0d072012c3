#include "models/manifest.h"

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::models {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string Error(std::string_view text) {
  return std::string(ParseManifest(text).status().message());
}

constexpr char kFull[] = R"(
[model]
name = "digits"
version = "1.2.0"
format = "safetensors"
file = "digits.safetensors"
license = "Apache-2.0"
description = "Handwritten digits"

[executor]
script = "run.py"

[architecture]
name = "small_cnn"
channels = [8, 16]

[[inputs]]
name = "image"
datatype = "FP32"
shape = [-1, 1, 28, 28]
allow_non_finite = true
[inputs.preprocess]
kind = "image"
color = "L"
size = [28, 20]
scale = 0.5
mean = 0.1307
std = [0.3081]
layout = "NHWC"
invert = true

[[outputs]]
name = "probabilities"
labels = ["0", "1"]

[limits]
timeout_secs = 30
memory_mb = 512

[hashes]
"digits.safetensors" = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)";

TEST(ManifestTest, ReadsEverything) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(kFull);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->name, "digits");
  EXPECT_EQ(manifest->version, "1.2.0");
  EXPECT_EQ(manifest->format, ModelFormat::kSafetensors);
  EXPECT_EQ(manifest->file, "digits.safetensors");
  EXPECT_EQ(manifest->license, "Apache-2.0");
  EXPECT_EQ(manifest->executor_script, "run.py");
  EXPECT_EQ(manifest->architecture, "small_cnn");
  EXPECT_EQ(manifest->timeout, std::chrono::seconds(30));
  EXPECT_EQ(manifest->memory_bytes, 512u << 20);
  EXPECT_EQ(manifest->hashes.at("digits.safetensors").substr(0, 4), "e3b0");

  ASSERT_EQ(manifest->inputs.size(), 1u);
  const TensorSpec& input = manifest->inputs[0];
  EXPECT_EQ(input.datatype, "FP32");
  EXPECT_THAT(*input.shape, ElementsAre(-1, 1, 28, 28));
  EXPECT_TRUE(input.allow_non_finite);
  EXPECT_EQ(input.preprocess->color, "L");
  EXPECT_EQ(input.preprocess->height, 28);
  EXPECT_EQ(input.preprocess->width, 20);
  EXPECT_EQ(input.preprocess->scale, 0.5);
  EXPECT_THAT(input.preprocess->mean, ElementsAre(0.1307));
  EXPECT_THAT(input.preprocess->std, ElementsAre(0.3081));
  EXPECT_EQ(input.preprocess->layout, "NHWC");
  EXPECT_TRUE(input.preprocess->invert);
  EXPECT_THAT(manifest->outputs[0].labels, ElementsAre("0", "1"));
  EXPECT_EQ(manifest->outputs[0].shape, std::nullopt);
}

TEST(ManifestTest, NeedsNothing) {
  const absl::StatusOr<Manifest> manifest = ParseManifest("");
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->format, std::nullopt);
  EXPECT_EQ(manifest->timeout, std::nullopt);
}

TEST(ManifestTest, NamesAnUnknownKeyAndTheNearestKnownOne) {
  EXPECT_THAT(Error("[model]\nfromat = 'onnx'"), AllOf(HasSubstr("unknown key 'fromat' in [model]"),
                                                       HasSubstr("did you mean 'format'?")));
  EXPECT_THAT(Error("[modle]"), HasSubstr("did you mean 'model'?"));
  EXPECT_THAT(Error("[[inputs]]\nname='x'\nlabels=[]"), HasSubstr("inputs[0]"));
  EXPECT_THAT(Error("[limits]\ngpus = 1"),
              AllOf(HasSubstr("known: timeout_secs, memory_mb"), Not(HasSubstr("did you mean"))));
}

TEST(ManifestTest, NamesKeyExpectationAndFindingOfWrongValues) {
  const std::pair<const char*, const char*> cases[] = {
      {"model = 1", "model: expected a table, found the integer 1"},
      {"[model]\nname = 1", "model.name: expected a text"},
      {"[model]\nname = \"a\\nb\"", "printable"},
      {"[model]\nformat = 'ONNX'", "model.format: expected one of torchscript"},
      {"[model]\nfile = '../x.pt'", "model.file: expected the plain name of a file"},
      {"[model]\nfile = '/etc/passwd'", "plain name"},
      {"[executor]\nscript = 'a/b.py'", "executor.script"},
      {"inputs = 1", "inputs: expected at most 256 tables"},
      {"inputs = [1]", "[[inputs]]"},
      {"[[inputs]]", "inputs[0].name"},
      {"[[inputs]]\nname='x'\n[[inputs]]\nname='x'", "inputs[1].name: expected a name of its own"},
      {"[[inputs]]\nname='x'\ndatatype='FLOAT'", "inputs[0].datatype: expected one of BOOL"},
      {"[[inputs]]\nname='x'\nshape=[-2]", "inputs[0].shape"},
      {"[[inputs]]\nname='x'\nshape=[1.5]", "inputs[0].shape"},
      {"[[inputs]]\nname='x'\nshape=[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "at most 16"},
      {"[[inputs]]\nname='x'\nallow_non_finite='yes'", "true or false"},
      {"[[inputs]]\nname='x'\npreprocess={}", "preprocess.size: expected [height, width]"},
      {"[[inputs]]\nname='x'\npreprocess={size=[1,1],kind='video'}", "kind: expected one of image"},
      {"[[inputs]]\nname='x'\npreprocess={size=[0,1]}", "size"},
      {"[[inputs]]\nname='x'\npreprocess={size=[1,1],std=0}", "std: expected numbers to divide by"},
      {"[[inputs]]\nname='x'\npreprocess={size=[1,1],mean=[1,2]}", "1 or 3 numbers"},
      {"[[inputs]]\nname='x'\npreprocess={size=[1,1],scale=[1,2]}", "scale: expected one number"},
      {"[[inputs]]\nname='x'\npreprocess={size=[1,1],scale=inf}", "finite"},
      {"[[outputs]]\nname='x'\nlabels=[1]", "outputs[0].labels: expected a list of texts"},
      {"[limits]\ntimeout_secs = 0", "limits.timeout_secs: expected a whole number from 1"},
      {"[limits]\nmemory_mb = 1e3", "limits.memory_mb"},
      {"[hashes]\n'a.pt' = 'abc'", "hashes.a.pt: expected a SHA-256"},
      {"[hashes]\n'../a' = "
       "'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
       "relative path"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(Error(text), AllOf(HasSubstr("model.toml: "), HasSubstr(message))) << text;
    EXPECT_EQ(ParseManifest(text).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

std::vector<std::filesystem::path> Examples(const char* kind) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(NCN_SOURCE_DIR) / "tests/manifests" / kind)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The executors hold the same files against theirs: python_executors/tests/test_manifest_schema.py.
TEST(ManifestTest, ReadsAndRefusesWhatTheExecutorsDo) {
  for (const std::filesystem::path& path : Examples("good")) {
    const auto text = base::ReadFile(path, kManifestBytesMax);
    ASSERT_TRUE(text.ok()) << path;
    EXPECT_TRUE(ParseManifest(*text).ok()) << path << ": " << Error(*text);
  }
  const std::vector<std::filesystem::path> bad = Examples("bad");
  EXPECT_GT(bad.size(), 40u);
  for (const std::filesystem::path& path : bad) {
    const auto text = base::ReadFile(path, kManifestBytesMax);
    ASSERT_TRUE(text.ok()) << path;
    // The first line is "# FIELD"; a message names at least the last part of it.
    std::string field = text->substr(2, text->find_first_of(" \n", 2) - 2);
    field = field.substr(field.rfind('.') + 1);
    EXPECT_THAT(Error(*text), HasSubstr(field)) << path;
  }
}

TEST(ManifestTest, ReadsRangesSoundAndWarmUp) {
  const auto manifest = ParseManifest(
      "[[inputs]]\nname='x'\noptional=true\nallow_empty=true\nminimum=0\nmaximum=9.5\n"
      "[inputs.preprocess]\nkind='audio'\nsample_rate=16000\nchannels=2\nsamples=5\n"
      "[warm_up]\ninput='a.wav'\ncontent_type='audio/wav'");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  const TensorSpec& input = manifest->inputs[0];
  EXPECT_TRUE(input.optional && input.allow_empty && !input.preprocess);
  EXPECT_EQ(input.minimum, 0.0);
  EXPECT_EQ(input.maximum, 9.5);
  EXPECT_EQ(input.audio->sample_rate, 16000);
  EXPECT_EQ(input.audio->channels, 2);
  EXPECT_EQ(input.audio->samples, 5);
  EXPECT_EQ(manifest->warm_up_input, "a.wav");
  EXPECT_EQ(manifest->warm_up_type, "audio/wav");
}

TEST(ManifestTest, SaysWhereTextIsNotToml) {
  EXPECT_THAT(Error("[model]\nname = "), HasSubstr("is not TOML at line 2"));
  EXPECT_THAT(Error("name = \"\xff\""), HasSubstr("is not TOML"));
  EXPECT_THAT(Error(std::string("\0\0", 2)), HasSubstr("is not TOML"));
}

// Debian's toml++ 3.3 asserts on these, or runs into undefined behaviour without assertions.
TEST(ManifestTest, SurvivesTextThatBreaksTheParsersInvariants) {
  for (const char* text : {"[\n", "[\nmodel]", "[[\n", "[ \n]", "\u00e9 = 1", "a = \u00e9",
                           "a \ufefb= 1", "[model]\u3001"}) {
    EXPECT_THAT(Error(text), HasSubstr("is not TOML")) << text;
  }
}

TEST(ManifestTest, TakesLettersOfAllLanguagesInTexts) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(
      "[model] # \u00e9\u00e8\nname = \"\u00fcml\u00e4ut\"\n"
      "description = \"\"\"a\\\n \u00e9\"\"\"");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->name, "\u00fcml\u00e4ut");
  EXPECT_EQ(manifest->description, "a\u00e9");
}

TEST(ManifestTest, BoundsSizeAndNesting) {
  EXPECT_THAT(Error(std::string(kManifestBytesMax + 1, '\n')), HasSubstr("at most 262144"));
  std::string dotted = "[architecture]\na";
  for (int i = 0; i < 100000; ++i) dotted += ".a";
  EXPECT_THAT(Error(dotted + " = 1"), HasSubstr("dots"));
  EXPECT_THAT(Error("[architecture]\na = " + std::string(10000, '[')), HasSubstr("is not TOML"));
  // As deep as the bounds let anything be.
  std::string deepest = "[architecture]\n";
  for (int i = 0; i < 7; ++i) {
    deepest += "a";
    for (int j = 0; j < 490; ++j) deepest += ".a";
    deepest += i < 6 ? " = [\n{" : " = 1";
  }
  for (int i = 0; i < 6; ++i) deepest += "}]";
  EXPECT_NE(Error(deepest), "unread");
}

}  // namespace
}  // namespace ncn::models
