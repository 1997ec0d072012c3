#include "executors/execution_policy.h"

#include "gtest/gtest.h"
#include "models/testing_files.h"

namespace ncn::executors {
namespace {

TEST(ExecutionPolicyTest, TheNativeExecutorGetsATighterPolicyThanScripts) {
  const models::TestFolder folder;
  const RuntimeEnvironment environment{.root = "/", .venv = {}, .python = "", .digest = ""};
  models::Model model{.id = *inference::ModelId::Parse("m")};
  model.root = folder.Write("m.onnx", "x");
  model.relative_file = "m.onnx";
  const Executor script{.name = "generic_model_executor.py", .inside_path = "", .sha256 = ""};
  const Executor native{.name = "ncn_native_executor",
                        .inside_path = kNativeInside,
                        .sha256 = "",
                        .program = folder.Write("program", "x")};
  const auto of = [&](const Executor& executor) {
    return *PolicyFor(environment, folder.path(), executor, model, {});
  };
  const sandbox::SandboxPolicy native_policy = of(native), script_policy = of(script);
  EXPECT_EQ(native_policy.profile(), sandbox::SeccompProfile::kNative);
  EXPECT_EQ(native_policy.exec_memory(), sandbox::ExecMemory::kDenied);
  EXPECT_EQ(script_policy.profile(), sandbox::SeccompProfile::kPython);
  ASSERT_EQ(native_policy.binds().size(), 2U);
  EXPECT_EQ(native_policy.binds()[0].inside_path, kNativeInside);
  EXPECT_EQ(native_policy.binds()[1].inside_path, "/model/m.onnx");
  EXPECT_FALSE(native_policy.binds()[1].executable);
}

TEST(ExecutionPolicyTest, AManifestLowersLimitsAndNeverRaisesThem) {
  const models::TestFolder folder;
  const RuntimeEnvironment environment{.root = "/", .venv = {}, .python = "", .digest = ""};
  const Executor script{.name = "generic_model_executor.py", .inside_path = "", .sha256 = ""};
  models::Model model{.id = *inference::ModelId::Parse("m")};
  model.root = folder.Write("m.onnx", "x");
  model.relative_file = "m.onnx";
  model.manifest.timeout = std::chrono::seconds(5);
  model.manifest.memory_bytes = 1 << 20;
  for (const int factor : {1, 3}) {
    const inference::ExecutionLimits node{.wall_clock = std::chrono::seconds(3 * factor),
                                          .memory_bytes = (1ULL << 19) * factor};
    const auto limits = PolicyFor(environment, folder.path(), script, model, node)->limits();
    EXPECT_EQ(limits.wall_clock, std::chrono::seconds(std::min(3 * factor, 5)));
    EXPECT_EQ(limits.memory_bytes, std::min<std::uint64_t>((1ULL << 19) * factor, 1 << 20));
  }
}

}  // namespace
}  // namespace ncn::executors
