#include "sandbox/sandbox_policy.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::sandbox {
namespace {

using ::testing::HasSubstr;

TEST(SandboxPolicyTest, TheHashDependsOnEverythingThatIsAllowed) {
  const auto hash = [](auto&& change) {
    PolicyBuilder builder;
    builder.UseHostSystem();
    change(builder);
    const auto policy = builder.Build();
    EXPECT_TRUE(policy.ok()) << policy.status();
    return policy->Hash();
  };
  const std::string plain = hash([](PolicyBuilder&) {});
  EXPECT_EQ(plain.size(), 64u);
  EXPECT_EQ(plain, hash([](PolicyBuilder&) {}));
  EXPECT_NE(plain, hash([](PolicyBuilder& b) { b.AllowJustInTimeCode(); }));
  EXPECT_NE(plain, hash([](PolicyBuilder& b) { b.SetProfile(SeccompProfile::kNative); }));
  EXPECT_NE(plain, hash([](PolicyBuilder& b) {
              inference::ExecutionLimits limits;
              ++limits.memory_bytes;
              b.SetLimits(limits);
            }));
  const std::string read = hash([](PolicyBuilder& b) { b.AddReadOnly("/usr/share", "/model"); });
  EXPECT_NE(plain, read);
  EXPECT_NE(read, hash([](PolicyBuilder& b) { b.AddReadOnlyExecutable("/usr/share", "/model"); }));
}

TEST(SandboxPolicyTest, RefusesInsidePathsThatAreNotFree) {
  for (const char* path : {"", "/", "model", "/model/", "/a/../b", "//a", "/usr/x", "/etc",
                           "/work/m", "/proc/1", "/dev/kvm", "/tmp", "/sys"}) {
    const auto policy = PolicyBuilder().UseHostSystem().AddReadOnly("/usr/share", path).Build();
    EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument) << path;
  }
  const auto overlapping = PolicyBuilder()
                               .UseHostSystem()
                               .AddReadOnly("/usr/share", "/model")
                               .AddReadOnly("/usr/lib", "/model/lib")
                               .Build();
  EXPECT_THAT(std::string(overlapping.status().message()), HasSubstr("overlap"));
}

TEST(SandboxPolicyTest, NamesASourceThatIsNotThere) {
  const auto policy = PolicyBuilder().UseHostSystem().AddReadOnly("/no/such", "/model").Build();
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(policy.status().message()), HasSubstr("/no/such"));
  EXPECT_FALSE(PolicyBuilder().Build().ok());
  EXPECT_EQ(PolicyBuilder().UseRootImage("/usr").Build().status().code(),
            absl::StatusCode::kNotFound);
}

TEST(SandboxPolicyTest, ResolvesSymbolicLinksOnceWhenItIsMade) {
  const auto policy = PolicyBuilder().UseHostSystem().AddReadOnly("/bin", "/programs").Build();
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->binds()[0].host_path, std::filesystem::canonical("/bin").native());
}

TEST(SandboxPolicyTest, RefusesAMissingLimit) {
  inference::ExecutionLimits limits;
  limits.processes = 0;
  EXPECT_FALSE(PolicyBuilder().UseHostSystem().SetLimits(limits).Build().ok());
}

}  // namespace
}  // namespace ncn::sandbox
