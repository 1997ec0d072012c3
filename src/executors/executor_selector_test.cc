#include "executors/executor_selector.h"

#include <fstream>

#include "gtest/gtest.h"

namespace ncn::executors {
namespace fs = std::filesystem;
namespace {

class ExecutorSelectorTest : public testing::Test {
 protected:
  ExecutorSelectorTest() {
    root_ = fs::path(testing::TempDir()) /
            ("selector_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "_" +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(root_ / "executors");
    fs::create_directories(root_ / "model");
    Write("executors/generic_model_executor.py", "generic");
  }
  ~ExecutorSelectorTest() override { fs::remove_all(root_); }

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

TEST_F(ExecutorSelectorTest, HashFollowsTheCode) {
  const std::string before = Selector().Candidates(Model("m"))->front().sha256;
  Write("executors/helper.py", "x = 1");
  EXPECT_NE(Selector().Candidates(Model("m"))->front().sha256, before);
}

TEST_F(ExecutorSelectorTest, NamesTheFlagWhenThereAreNoScripts) {
  const absl::Status status = ExecutorSelector::Create(root_ / "model").status();
  EXPECT_NE(status.message().find("--python-executor-path"), std::string::npos);
}

}  // namespace
}  // namespace ncn::executors
