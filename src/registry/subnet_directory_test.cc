#include "registry/subnet_directory.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "signing/subnet_signature.h"
#include "signing/testing_wallet.h"

namespace ncn::registry {
namespace {

using inference::Subnet;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

signing::Wallet Other() { return *signing::Wallet::FromPrivateKeyHex(std::string(64, '7')); }

Subnet Unsigned(std::uint64_t version, std::vector<std::string> sources = {},
                const std::string& name = "s") {
  return {.subnet_id = 7,
          .name = name,
          .owner_address = signing::kTestAddress,
          .version = version,
          .models = {{.model = *inference::ModelId::Parse("m"),
                      .format = "onnx",
                      .files = {{.path = "m.onnx",
                                 .sha256 = std::string(64, 'a'),
                                 .sources = std::move(sources)}}}}};
}

Subnet Signed(Subnet subnet, const signing::Wallet& owner = signing::TestWallet()) {
  subnet.owner_address = owner.address().ToString();
  subnet.owner_signature = *signing::SignSubnet(owner, subnet);
  return subnet;
}

SubnetAnswer Choose(std::vector<absl::StatusOr<Subnet>> answers, const SubnetTrust& trust = {}) {
  std::vector<RegistryAnswer> named;
  for (auto& answer : answers) {
    named.push_back({std::string(1, static_cast<char>('A' + named.size())), std::move(answer)});
  }
  return ChooseSubnet(std::move(named), trust);
}

TEST(ChooseSubnetTest, TakesTheHighestVersionOfThoseThatAnswer) {
  const auto answer = Choose({absl::UnavailableError("registry A: away"), Signed(Unsigned(1)),
                              Signed(Unsigned(3)), Signed(Unsigned(2))});
  ASSERT_TRUE(answer.subnet.ok()) << answer.subnet.status();
  EXPECT_EQ(answer.subnet->version, 3u);
  EXPECT_THAT(answer.registries, ElementsAre("C"));
  EXPECT_THAT(answer.problems, SizeIs(3));
}

TEST(ChooseSubnetTest, MergesTheSourcesOfThoseThatAgree) {
  const auto answer = Choose({Signed(Unsigned(1, {"https://a", "https://b"})),
                              Signed(Unsigned(1, {"https://b", "https://c"}))});
  ASSERT_TRUE(answer.subnet.ok()) << answer.subnet.status();
  EXPECT_THAT(answer.subnet->models[0].files[0].sources,
              ElementsAre("https://a", "https://b", "https://c"));
  EXPECT_THAT(answer.registries, ElementsAre("A", "B"));
}

TEST(ChooseSubnetTest, OneVersionWithTwoContentsIsAnErrorThatNamesBoth) {
  for (const bool is_signed : {false, true}) {
    const Subnet a = Unsigned(1);
    const Subnet b = Unsigned(1, {}, "other");
    const auto answer = is_signed ? Choose({Signed(a), Signed(b)}) : Choose({a, b});
    EXPECT_TRUE(absl::IsFailedPrecondition(answer.subnet.status()));
    EXPECT_THAT(std::string(answer.subnet.status().message()), HasSubstr("registry A"));
    EXPECT_THAT(std::string(answer.subnet.status().message()), HasSubstr("registry B"));
  }
}

TEST(ChooseSubnetTest, WhoIsSignedComesBeforeWhoIsNot) {
  const auto answer = Choose({Unsigned(~0ULL), Signed(Unsigned(1))});
  ASSERT_TRUE(answer.subnet.ok()) << answer.subnet.status();
  EXPECT_EQ(answer.subnet->version, 1u);
  EXPECT_THAT(answer.registries, ElementsAre("B"));
}

TEST(ChooseSubnetTest, TwoOwnersAreAnErrorUnlessOneIsConfigured) {
  const std::vector<absl::StatusOr<Subnet>> both = {Signed(Unsigned(5), Other()),
                                                    Signed(Unsigned(1))};
  EXPECT_TRUE(absl::IsFailedPrecondition(Choose(both).subnet.status()));
  const auto answer = Choose(both, {.owner_address = signing::kTestAddress});
  ASSERT_TRUE(answer.subnet.ok()) << answer.subnet.status();
  EXPECT_EQ(answer.subnet->version, 1u);
}

TEST(ChooseSubnetTest, AConfiguredOwnerMustHaveSigned) {
  const SubnetTrust trust{.owner_address = signing::kTestAddress};
  EXPECT_TRUE(absl::IsPermissionDenied(Choose({Unsigned(1)}, trust).subnet.status()));
  EXPECT_TRUE(
      absl::IsPermissionDenied(Choose({Signed(Unsigned(1), Other())}, trust).subnet.status()));
  EXPECT_TRUE(Choose({Signed(Unsigned(1))}, trust).subnet.ok());
}

TEST(ChooseSubnetTest, WhatWasAcceptedIsNeitherTakenBackNorRewritten) {
  const SubnetTrust trust{.last = *Accepted(Signed(Unsigned(5)))};
  const auto refused = [&](const Subnet& subnet) {
    const absl::Status status = Choose({subnet}, trust).subnet.status();
    return absl::IsPermissionDenied(status);
  };
  EXPECT_TRUE(refused(Signed(Unsigned(4))));
  EXPECT_TRUE(refused(Unsigned(6))) << "no longer signed";
  EXPECT_TRUE(refused(Signed(Unsigned(6), Other()))) << "another owner";
  EXPECT_TRUE(refused(Signed(Unsigned(5, {}, "rewritten"))));
  EXPECT_TRUE(Choose({Signed(Unsigned(5, {"https://new"}))}, trust).subnet.ok());
  EXPECT_TRUE(Choose({Signed(Unsigned(6))}, trust).subnet.ok());
  // A liar among several does not matter.
  EXPECT_EQ(Choose({Signed(Unsigned(4)), Signed(Unsigned(6))}, trust).subnet->version, 6u);
}

TEST(ChooseSubnetTest, SaysWhatKindOfTroubleItIs) {
  const absl::Status away = absl::UnavailableError("registry A: away");
  const absl::Status unknown = absl::NotFoundError("registry B: there is no subnet 7");
  EXPECT_TRUE(absl::IsFailedPrecondition(Choose({}).subnet.status()));
  EXPECT_TRUE(absl::IsUnavailable(Choose({away}).subnet.status()));
  const absl::Status both = Choose({away, unknown}).subnet.status();
  EXPECT_TRUE(absl::IsNotFound(both));
  EXPECT_EQ(both.message(), "registry A: away; registry B: there is no subnet 7");
  EXPECT_TRUE(absl::IsPermissionDenied(Choose({away, absl::DataLossError("bad")}).subnet.status()));
}

}  // namespace
}  // namespace ncn::registry
