#include "executors/zygotes.h"

#include <unistd.h>

#include <fstream>

#include "gtest/gtest.h"

namespace ncn::executors {
namespace {

class FrameworkForTest : public ::testing::Test {
 public:
  ~FrameworkForTest() override { std::filesystem::remove_all(model_.root); }

 protected:
  FrameworkForTest() {
    std::string name = ::testing::TempDir() + "framework.XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    model_.root = name;
    model_.manifest.executor_script = "own.py";
  }

  Framework For(const Executor& executor, models::ModelFormat format,
                const std::string& script = "") {
    std::ofstream(model_.root / "own.py") << script;
    model_.format = format;
    return FrameworkFor(executor, model_);
  }

  models::Model model_{.id = *inference::ModelId::Parse("m")};
  const Executor own_{.name = "m:own.py", .inside_path = "/model/own.py", .sha256 = ""};
  const Executor generic_{.name = "generic.py", .inside_path = "/executors/generic.py"};
};

TEST_F(FrameworkForTest, FollowsTheFormatOfTheModel) {
  EXPECT_EQ(For(generic_, models::ModelFormat::kOnnx), Framework::kOnnxRuntime);
  EXPECT_EQ(For(generic_, models::ModelFormat::kSafetensors), Framework::kTorch);
}

TEST_F(FrameworkForTest, AScriptThatSpeaksOfNoFrameworkGetsNone) {
  EXPECT_EQ(For(own_, models::ModelFormat::kSafetensors, "import json"), Framework::kPlain);
  EXPECT_EQ(For(own_, models::ModelFormat::kSafetensors, "import torch"), Framework::kTorch);
  EXPECT_EQ(For(own_, models::ModelFormat::kOnnx, "import onnxruntime"), Framework::kOnnxRuntime);
}

}  // namespace
}  // namespace ncn::executors
