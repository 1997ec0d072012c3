// Every step of the set-up is made to fail in turn.

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox_fixture.h"

namespace ncn::sandbox {
namespace {

using ::testing::HasSubstr;

std::vector<SetupStep> AllSteps() {
  std::vector<SetupStep> steps;
  for (int i = static_cast<int>(kFirstStep); i <= static_cast<int>(kLastStep); ++i) {
    steps.push_back(static_cast<SetupStep>(i));
  }
  return steps;
}

class FailingClosed : public ::testing::TestWithParam<SetupStep> {
 protected:
  void TearDown() override {
    Strict().FailStepForTest(std::nullopt);
    Permissive().FailStepForTest(std::nullopt);
  }
};

TEST_P(FailingClosed, StrictRefusesAndNamesTheLayer) {
  Strict().FailStepForTest(GetParam());
  const auto outcome = Strict().Run(TestPolicy(), Shell("echo ran"));
  ASSERT_FALSE(outcome.ok()) << outcome->stdout_tail;
  const std::string message(outcome.status().message());
  EXPECT_THAT(message, HasSubstr("\"" + std::string(Layer(GetParam())) + "\""));
  EXPECT_THAT(message, HasSubstr(std::string(Name(GetParam()))));
  EXPECT_THAT(message, HasSubstr(std::string(Cure(GetParam(), ECANCELED))));
}

TEST_P(FailingClosed, PermissiveGoesOnWithoutNamespacesAndLandlockOnly) {
  const SetupStep step = GetParam();
  Permissive().FailStepForTest(step);
  const auto outcome = Permissive().Run(TestPolicy(), Shell("cat /proc/self/status"));
  const std::string_view layer = Layer(step);
  // Joining the control group is a limit, its namespace is not: the step is both.
  if (step == SetupStep::kCgroup) return;
  // Whatever else is missing, the payload is never root.
  const bool may_miss = (layer == "namespaces" || layer == "mount namespace" ||
                         layer == "pid namespace" || layer == "landlock") &&
                        step != SetupStep::kIdentity;
  ASSERT_EQ(outcome.ok(), may_miss) << outcome.status();
  if (!may_miss) return;
  EXPECT_FALSE(outcome->missing.empty());
  EXPECT_THAT(outcome->missing.front(), HasSubstr(std::string(Name(step))));
}

INSTANTIATE_TEST_SUITE_P(Steps, FailingClosed, ::testing::ValuesIn(AllSteps()),
                         [](const auto& step) {
                           std::string name(Name(step.param));
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace ncn::sandbox
