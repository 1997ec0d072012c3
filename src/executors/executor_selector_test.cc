#include "executors/executor_selector.h"

#include <fstream>

#include "gtest/gtest.h"

namespace ncn::executors {
namespace fs = std::filesystem;
namespace {

class ExecutorSelectorTest : public testing::Test {
 public:
  ~ExecutorSelectorTest() override { fs::remove_all(root_); }

 protected:
  ExecutorSelectorTest() {
    root_ = fs::path(testing::TempDir()) /
            ("selector_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "_" +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(root_ / "executors");
    fs::create_directories(root_ / "model");
    Write("executors/generic_model_executor.py", "generic");
  }

  void Write(const char* name, const char* text) { std::ofstream(root_ / name) << text; }
  ExecutorSelector Selector() const { return *ExecutorSelector::Create(root_ / "executors"); }
  models::Model Model(const char* name, std::string script = "") const {
    models::Model model{.id = *inference::ModelId::Parse(name)};
    model.root = root_ / "model";
    model.is_folder = true;
    model.tree_sha256 = "tree";
    model.manifest.executor_script = std::move(script);
    return model;
  }
  // An ONNX model, and a selector that has a native executor.
  models::Model Onnx(std::string script = "") const {
    models::Model model = Model("digits", std::move(script));
    model.format = models::ModelFormat::kOnnx;
    return model;
  }
  ExecutorSelector WithNative() {
    Write("ncn_native_executor", "program");
    return *ExecutorSelector::Create(root_ / "executors", root_ / "ncn_native_executor");
  }
  const std::vector<std::string> native_first_ = {"ncn_native_executor",
                                                  "generic_model_executor.py"};
  const std::vector<std::string> generic_only_ = {"generic_model_executor.py"};

  static std::vector<std::string> Names(const std::vector<Executor>& scripts) {
    std::vector<std::string> names;
    for (const Executor& script : scripts) names.push_back(script.name);
    return names;
  }

  fs::path root_;
};

TEST_F(ExecutorSelectorTest, RunsUnknownModelsWithTheGenericExecutor) {
  const auto scripts = *Selector().Candidates(Model("digits"));
  EXPECT_EQ(Names(scripts), std::vector<std::string>{"generic_model_executor.py"});
  EXPECT_EQ(scripts[0].inside_path, "/executors/generic_model_executor.py");
  EXPECT_EQ(scripts[0].sha256.size(), 64u);
}

TEST_F(ExecutorSelectorTest, PrefersTheScriptOfABarkStage) {
  Write("executors/semantic_model_executor.py", "semantic");
  EXPECT_EQ(Names(*Selector().Candidates(Model("bark_semantic"))),
            (std::vector<std::string>{"semantic_model_executor.py", "generic_model_executor.py"}));
}

TEST_F(ExecutorSelectorTest, RunsAllOfBarkWithAScriptOfItsOwn) {
  Write("executors/bark_model_executor.py", "bark");
  EXPECT_EQ(Names(*Selector().Candidates(Model("bark"))),
            (std::vector<std::string>{"bark_model_executor.py", "generic_model_executor.py"}));
}

TEST_F(ExecutorSelectorTest, PrefersTheManifestsScriptOverTheGenericOne) {
  Write("model/own.py", "own");
  const auto scripts = *Selector().Candidates(Model("digits", "own.py"));
  EXPECT_EQ(Names(scripts),
            (std::vector<std::string>{"digits:own.py", "generic_model_executor.py"}));
  EXPECT_EQ(scripts[0].inside_path, "/model/own.py");
  EXPECT_EQ(scripts[0].sha256, "tree");
}

TEST_F(ExecutorSelectorTest, NamesAScriptThatIsNowhere) {
  const absl::Status status = Selector().Candidates(Model("digits", "gone.py")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("gone.py"), std::string::npos);
}

TEST_F(ExecutorSelectorTest, GivesAScriptOfTheNodesOwnByItsName) {
  const ExecutorSelector selector = Selector();
  EXPECT_EQ(selector.Named("generic_model_executor.py")->inside_path,
            "/executors/generic_model_executor.py");
  for (const char* name : {"gone.py", "../executors/generic_model_executor.py", ""}) {
    EXPECT_EQ(selector.Named(name).status().code(), absl::StatusCode::kNotFound) << name;
  }
}

TEST_F(ExecutorSelectorTest, HashFollowsTheCode) {
  const std::string before = Selector().Candidates(Model("m"))->front().sha256;
  Write("executors/helper.py", "x = 1");
  EXPECT_NE(Selector().Candidates(Model("m"))->front().sha256, before);
}

TEST_F(ExecutorSelectorTest, PrefersTheNativeExecutorForOnnxModels) {
  const ExecutorSelector selector = WithNative();
  const auto executors = *selector.Candidates(Onnx());
  EXPECT_EQ(Names(executors), native_first_);
  EXPECT_TRUE(executors[0].native());
  EXPECT_EQ(executors[0].inside_path, kNativeInside);
  EXPECT_EQ(executors[0].sha256.size(), 64u);
  EXPECT_NE(executors[0].sha256, executors[1].sha256);
  EXPECT_FALSE(executors[1].native());

  models::Model scripted = Onnx();
  scripted.format = models::ModelFormat::kTorchScript;
  EXPECT_EQ(Names(*selector.Candidates(scripted)), generic_only_);
  EXPECT_EQ(Names(*selector.Candidates(Onnx("generic_model_executor.py"))), generic_only_);
  EXPECT_EQ(Names(*Selector().Candidates(Onnx())), generic_only_);
}

TEST_F(ExecutorSelectorTest, LeavesToTheGenericExecutorWhatTheNativeOneDoesNotRead) {
  const ExecutorSelector selector = WithNative();
  const auto names = [&](std::string_view content_type, std::string_view accept = "") {
    return Names(*selector.Candidates(Onnx(), content_type, accept));
  };
  EXPECT_EQ(names("Application/JSON; charset=utf-8"), native_first_);
  EXPECT_EQ(names("application/x-safetensors", "text/csv, application/json;q=0.5"), native_first_);
  EXPECT_EQ(names("application/json", "*/*"), native_first_);
  EXPECT_EQ(names("image/png"), generic_only_);
  EXPECT_EQ(names(""), generic_only_);
  EXPECT_EQ(names("application/octet-stream"), generic_only_);
  EXPECT_EQ(names("application/json", "text/csv"), generic_only_);
  models::Model images = Onnx();
  images.manifest.inputs.push_back({.name = "image", .preprocess = models::ImagePreprocess{}});
  EXPECT_EQ(Names(*selector.Candidates(images)), generic_only_);
}

TEST_F(ExecutorSelectorTest, ANativeExecutorThatIsNotThereIsAnError) {
  EXPECT_FALSE(ExecutorSelector::Create(root_ / "executors", root_ / "gone").ok());
}

TEST_F(ExecutorSelectorTest, NamesTheFlagWhenThereAreNoScripts) {
  const absl::Status status = ExecutorSelector::Create(root_ / "model").status();
  EXPECT_NE(status.message().find("--python-executor-path"), std::string::npos);
}

}  // namespace
}  // namespace ncn::executors
