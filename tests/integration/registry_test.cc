// A registry's client against the reference registry.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "gmock/gmock.h"
#include "registry/announcer.h"
#include "registry/subnet_directory.h"
#include "registry_fixture.h"

namespace ncn {
namespace {

using inference::Subnet;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string Text(const absl::Status& status) { return status.ToString(); }

TEST(RegistryTest, GivesBackASubnetAsItsOwnerSignedIt) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  const Subnet subnet = SignedSubnet(owner, 1, {SomeModel("digits", "content")});
  ASSERT_TRUE(registry.client->CreateSubnet(subnet).ok());
  const auto found = registry.client->GetSubnet(7);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->owner_address, owner.address().ToString());
  EXPECT_EQ(found->owner_signature, subnet.owner_signature);
  ASSERT_THAT(found->models, SizeIs(1));
  EXPECT_EQ(found->models[0].files[0].sha256, subnet.models[0].files[0].sha256);
  EXPECT_THAT(found->models[0].files[0].sources, IsEmpty()) << "it does not hold the file";
  EXPECT_TRUE(absl::IsNotFound(registry.client->GetSubnet(8).status()));
}

TEST(RegistryTest, OnlyItsOwnerChangesASubnetAndOnlyByOneVersion) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  const signing::Wallet other = NewWallet();
  EXPECT_TRUE(
      absl::IsInvalidArgument(registry.client->CreateSubnet(SignedSubnet(owner, 2)).status()));
  Subnet unsigned_subnet = SignedSubnet(owner, 1);
  unsigned_subnet.owner_signature.clear();
  EXPECT_TRUE(absl::IsFailedPrecondition(registry.client->CreateSubnet(unsigned_subnet).status()));
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  EXPECT_TRUE(
      absl::IsAlreadyExists(registry.client->CreateSubnet(SignedSubnet(owner, 1)).status()));
  EXPECT_TRUE(
      absl::IsAlreadyExists(registry.client->CreateSubnet(SignedSubnet(other, 1)).status()));

  EXPECT_TRUE(
      absl::IsPermissionDenied(registry.client->UpdateSubnet(SignedSubnet(other, 2)).status()));
  EXPECT_TRUE(absl::IsAborted(registry.client->UpdateSubnet(SignedSubnet(owner, 1)).status()));
  EXPECT_TRUE(absl::IsAborted(registry.client->UpdateSubnet(SignedSubnet(owner, 3)).status()));
  Subnet changed = SignedSubnet(owner, 2);
  changed.name = "changed after signing";
  EXPECT_TRUE(absl::IsPermissionDenied(registry.client->UpdateSubnet(changed).status()));
  EXPECT_TRUE(registry.client->UpdateSubnet(SignedSubnet(owner, 2)).ok());
  EXPECT_EQ(registry.client->GetSubnet(7)->version, 2u);
}

TEST(RegistryTest, CreatesSubnetsOfAllowedOwnersAlone) {
  const signing::Wallet allowed = NewWallet();
  TestRegistry registry({.owners = {allowed.address().ToString()}});
  const auto refused = registry.client->CreateSubnet(SignedSubnet(NewWallet(), 1));
  EXPECT_TRUE(absl::IsPermissionDenied(refused.status()));
  EXPECT_THAT(Text(refused.status()), HasSubstr("--owner"));
  EXPECT_TRUE(registry.client->CreateSubnet(SignedSubnet(allowed, 1)).ok());
}

TEST(RegistryTest, ListsSubnetsPageByPage) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  for (const std::uint32_t id : {3u, 1u, 2u}) {
    ASSERT_TRUE(
        registry.client->CreateSubnet(SignedSubnet(owner, 1, {SomeModel("digits", "content")}, id))
            .ok());
  }
  std::vector<std::uint32_t> ids;
  for (std::uint32_t after = 0;;) {
    const auto page = registry.client->ListSubnets(after, 2);
    ASSERT_TRUE(page.ok()) << page.status();
    if (page->empty()) break;
    for (const Subnet& subnet : *page) {
      ids.push_back(after = subnet.subnet_id);
      EXPECT_THAT(subnet.models, IsEmpty());
    }
  }
  EXPECT_THAT(ids, ElementsAre(1, 2, 3));
}

TEST(RegistryTest, KeepsSubnetsFilesAndNodesOverARestart) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  const std::string content = Bytes(100000);
  ASSERT_TRUE(
      registry.client->CreateSubnet(SignedSubnet(owner, 1, {SomeModel("m", content)})).ok());
  const base::UniqueFd file = FileWith(content);
  ASSERT_TRUE(registry.client->Upload(file.get(), Permit(owner, content), {}).ok());
  const auto registered = registry.client->RegisterNode(PresentationOf(owner), SignerOf(owner));
  ASSERT_TRUE(registered.ok()) << registered.status();

  registry.Restart();
  const auto subnet = registry.client->GetSubnet(7);
  ASSERT_TRUE(subnet.ok()) << subnet.status();
  EXPECT_THAT(subnet->models[0].files[0].sources,
              ElementsAre(HasSubstr("http://127.0.0.1"), HasSubstr("grpc://127.0.0.1")));
  EXPECT_TRUE(registry.client->StatFile(subnet->models[0].files[0].sha256)->complete);
  EXPECT_THAT(*registry.client->DiscoverNodes({}), SizeIs(1));
  EXPECT_EQ(*registry.client->UpdateNodeHeartbeat(registered->token, PresentationOf(owner).info),
            1u);
}

TEST(RegistryTest, TakesANodeWithTenThousandModelsOfLongNames) {
  TestRegistry registry;
  const signing::Wallet wallet = NewWallet();
  std::vector<std::string> models;
  for (int i = 0; i < 10'000; ++i) {
    const std::string number = std::to_string(i);
    models.push_back(std::string(128 - number.size(), 'm') + number);
  }
  const registry::Presentation node = PresentationOf(wallet, models);
  const auto registered = registry.client->RegisterNode(node, SignerOf(wallet));
  ASSERT_TRUE(registered.ok()) << registered.status();
  EXPECT_TRUE(registry.client->UpdateNodeHeartbeat(registered->token, node.info).ok());
  const auto found = registry.client->DiscoverNodes({.model = models.back()});
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_THAT(*found, SizeIs(1));
  EXPECT_EQ(found->front().info.supported_models, models);
}

TEST(RegistryTest, TwoRegistriesDoNotShareAFolder) {
  TestRegistry registry;
  const auto second = reference::ReferenceRegistry::Start(registry.options);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
}

std::string Fetched(registry::RegistryClient& client, const std::string& sha256,
                    std::uint64_t offset, std::uint64_t length, absl::Status* status = nullptr) {
  std::string bytes;
  const absl::Status ended =
      client.Download(sha256, offset, length, [&](std::string_view chunk) -> absl::Status {
        bytes += chunk;
        return absl::OkStatus();
      });
  if (status != nullptr) {
    *status = ended;
  } else {
    EXPECT_TRUE(ended.ok()) << ended;
  }
  return bytes;
}

TEST(RegistryFilesTest, GivesAFileWholeAndByRanges) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes((3 << 20) + 17);
  const registry::UploadPermit permit = Permit(owner, content);
  std::vector<std::uint64_t> told;
  const base::UniqueFd file = FileWith(content);
  ASSERT_TRUE(
      registry.client->Upload(file.get(), permit, [&](auto held) { told.push_back(held); }).ok());
  EXPECT_EQ(told.back(), content.size());
  EXPECT_TRUE(registry.client->Upload(file.get(), permit, {}).ok()) << "it is there already";

  EXPECT_EQ(Fetched(*registry.client, permit.sha256, 0, 0), content);
  EXPECT_EQ(Fetched(*registry.client, permit.sha256, 1 << 20, 0), content.substr(1 << 20));
  EXPECT_EQ(Fetched(*registry.client, permit.sha256, 5, 10), content.substr(5, 10));
  EXPECT_EQ(Fetched(*registry.client, permit.sha256, content.size(), 0), "");
  absl::Status status;
  Fetched(*registry.client, permit.sha256, content.size() + 1, 0, &status);
  EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
  Fetched(*registry.client, permit.sha256, content.size() - 5, 10, &status);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  Fetched(*registry.client, std::string(64, 'a'), 0, 0, &status);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  Fetched(*registry.client, "../../etc/passwd", 0, 0, &status);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

TEST(RegistryFilesTest, AnErrorOfTheSinkEndsTheDownload) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes(8 << 20);
  const registry::UploadPermit permit = Permit(owner, content);
  ASSERT_TRUE(registry.client->Upload(FileWith(content).get(), permit, {}).ok());
  const absl::Status status = registry.client->Download(
      permit.sha256, 0, 0, [](std::string_view) { return absl::ResourceExhaustedError("full"); });
  EXPECT_EQ(status, absl::ResourceExhaustedError("full"));
}

TEST(RegistryFilesTest, StoppingEndsAnUploadThatGoesOnLater) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes(16 << 20);
  const registry::UploadPermit permit = Permit(owner, content);
  std::stop_source stop_upload;
  const absl::Status uploaded = registry.client->Upload(
      FileWith(content).get(), permit,
      [&](auto held) {
        if (held > 1 << 20) stop_upload.request_stop();
      },
      stop_upload.get_token());
  EXPECT_TRUE(absl::IsCancelled(uploaded)) << uploaded;
  while (!registry.client->StatFile(permit.sha256)->complete) {
    const absl::Status status = registry.client->Upload(FileWith(content).get(), permit, {});
    ASSERT_TRUE(status.ok() || absl::IsAborted(status) || absl::IsFailedPrecondition(status))
        << status;
  }
}

TEST(RegistryFilesTest, AFileWithAnotherHashIsThrownAway) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes(2 << 20);
  const registry::UploadPermit permit = Permit(owner, content);
  const absl::Status status =
      registry.client->Upload(FileWith(Bytes(2 << 20, 2)).get(), permit, {});
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(Text(status), HasSubstr(permit.sha256));
  EXPECT_EQ(registry.client->StatFile(permit.sha256)->bytes_held, 0u);
  EXPECT_TRUE(registry.client->Upload(FileWith(content).get(), permit, {}).ok());
}

TEST(RegistryFilesTest, TakesFilesOfASubnetsOwnerAlone) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes(1000);
  const base::UniqueFd file = FileWith(content);
  const auto upload = [&](const registry::UploadPermit& permit) {
    return registry.client->Upload(file.get(), permit, {});
  };
  EXPECT_TRUE(absl::IsPermissionDenied(upload(Permit(NewWallet(), content))));
  const absl::Status expired = upload(Permit(owner, content, InSeconds(-1)));
  EXPECT_TRUE(absl::IsPermissionDenied(expired));
  EXPECT_THAT(Text(expired), HasSubstr("expired"));
  EXPECT_TRUE(absl::IsPermissionDenied(upload(Permit(owner, content, InSeconds(1 << 20)))));
  EXPECT_TRUE(absl::IsNotFound(upload(Permit(owner, content, InSeconds(60), 8))));
  registry::UploadPermit longer = Permit(owner, content);
  ++longer.expires_seconds;
  EXPECT_TRUE(absl::IsPermissionDenied(upload(longer)));
  EXPECT_EQ(registry.client->StatFile(longer.sha256)->bytes_held, 0u);
}

TEST(RegistryFilesTest, RefusesWhatThereIsNoRoomFor) {
  TestRegistry registry({.storage_bytes_max = 1000});
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes(1001);
  const absl::Status status =
      registry.client->Upload(FileWith(content).get(), Permit(owner, content), {});
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(Text(status), HasSubstr("--max-storage-mb"));
}

TEST(RegistryFilesTest, SeveralUploadsOfOneFileEndWithOneFile) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  const std::string content = Bytes(4 << 20);
  const registry::UploadPermit permit = Permit(owner, content);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const base::UniqueFd file = FileWith(content);
        const auto client = ClientOf(registry.server->address());
        absl::Status status = absl::UnknownError("");
        while (!status.ok()) {
          status = client->Upload(file.get(), permit, {});
          // AlreadyExists: it became whole after the client had asked.
          if (absl::IsAlreadyExists(status)) break;
          EXPECT_TRUE(status.ok() || absl::IsAborted(status) || absl::IsFailedPrecondition(status))
              << status;
        }
      });
    }
  }
  EXPECT_EQ(Fetched(*registry.client, permit.sha256, 0, 0), content);
}

TEST(RegistryNodesTest, ListsNodesThatProvedTheirWallets) {
  TestRegistry registry;
  const signing::Wallet a = NewWallet();
  const signing::Wallet b = NewWallet();
  const auto registered = registry.client->RegisterNode(PresentationOf(a, {"digits"}), SignerOf(a));
  ASSERT_TRUE(registered.ok()) << registered.status();
  registry::Presentation gateway = PresentationOf(b, {"faces"});
  gateway.role = wire::NodeRole::kGateway;
  gateway.endpoint = "https://gateway.example:443";
  ASSERT_TRUE(registry.client->RegisterNode(gateway, SignerOf(b)).ok());

  EXPECT_THAT(*registry.client->DiscoverNodes({}), SizeIs(2));
  EXPECT_THAT(*registry.client->DiscoverNodes({.limit = 1}), SizeIs(1));
  EXPECT_THAT(*registry.client->DiscoverNodes({.subnet_id = 9}), IsEmpty());
  const auto digits = registry.client->DiscoverNodes({.model = "digits"});
  ASSERT_THAT(*digits, SizeIs(1));
  EXPECT_EQ(digits->front().info.address, a.address().ToString());
  const auto gateways = registry.client->DiscoverNodes({.role = wire::NodeRole::kGateway});
  ASSERT_THAT(*gateways, SizeIs(1));
  EXPECT_EQ(gateways->front().endpoint, "https://gateway.example:443");

  ASSERT_TRUE(registry.client->DeregisterNode(registered->token).ok());
  EXPECT_THAT(*registry.client->DiscoverNodes({}), SizeIs(1));
  EXPECT_TRUE(absl::IsUnauthenticated(
      registry.client->UpdateNodeHeartbeat(registered->token, PresentationOf(a).info).status()));
}

TEST(RegistryNodesTest, BelievesNoProofOfAnotherWalletOrForAnotherRegistry) {
  TestRegistry registry;
  const signing::Wallet node = NewWallet();
  const signing::Wallet other = NewWallet();
  EXPECT_TRUE(absl::IsUnauthenticated(
      registry.client->RegisterNode(PresentationOf(node), SignerOf(other)).status()));
  const auto relayed = registry.client->RegisterNode(
      PresentationOf(node), [&](std::string_view nonce, std::string_view, std::uint32_t version) {
        return signing::SignChallenge(node, nonce, "registry.example:443", version);
      });
  EXPECT_TRUE(absl::IsUnauthenticated(relayed.status()));
  EXPECT_THAT(*registry.client->DiscoverNodes({}), IsEmpty());
}

// Something that tests wait for, with a limit that only a failing test reaches.
template <typename T>
class Heard {
 public:
  void Add(T value) {
    {
      std::lock_guard lock(mutex_);
      values_.push_back(std::move(value));
    }
    changed_.notify_all();
  }
  bool WaitFor(const std::function<bool(const std::vector<T>&)>& enough) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return enough(values_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> values_;
};

TEST(AnnouncerTest, KeepsTheNodeKnownOverARestartAndHearsOfNewVersions) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  Heard<std::uint64_t> versions;
  std::vector<std::unique_ptr<registry::RegistryClient>> clients;
  clients.push_back(ClientOf(registry.server->address()));
  clients.push_back(ClientOf("127.0.0.1:1"));
  {
    registry::Announcer announcer(
        std::move(clients), {},
        {.describe = [&] { return PresentationOf(owner); },
         .sign = SignerOf(owner),
         .on_subnet_version = [&](const auto&, std::uint64_t version) { versions.Add(version); }});
    ASSERT_TRUE(versions.WaitFor([](const auto& v) { return v == std::vector<std::uint64_t>{1}; }));
    EXPECT_THAT(*registry.client->DiscoverNodes({}), SizeIs(1));
    ASSERT_TRUE(registry.client->UpdateSubnet(SignedSubnet(owner, 2)).ok());
    announcer.Refresh();
    ASSERT_TRUE(versions.WaitFor([](const auto& v) {
      return v == std::vector<std::uint64_t>{1, 2};
    }));
    const auto states = announcer.states();
    ASSERT_THAT(states, SizeIs(2));
    EXPECT_TRUE(states[0].registered);
    EXPECT_EQ(states[0].subnet_version, 2u);
    EXPECT_FALSE(states[1].registered);
  }
  EXPECT_THAT(*registry.client->DiscoverNodes({}), IsEmpty()) << "it took leave";
}

TEST(AnnouncerTest, RegistersAgainWhereItWasForgotten) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  Heard<bool> registered;
  std::vector<std::unique_ptr<registry::RegistryClient>> clients;
  clients.push_back(ClientOf(registry.server->address()));
  registry::Announcer announcer(
      std::move(clients), {.retry_min = std::chrono::milliseconds(10)},
      {.describe = [&] { return PresentationOf(owner); },
       .sign = SignerOf(owner),
       .on_change = [&](const auto&, const absl::Status& status) { registered.Add(status.ok()); }});
  ASSERT_TRUE(registered.WaitFor([](const auto& v) { return v == std::vector<bool>{true}; }));
  // Another process of the same wallet: its registration replaces this one.
  ASSERT_TRUE(registry.client->RegisterNode(PresentationOf(owner), SignerOf(owner)).ok());
  announcer.Refresh();
  EXPECT_TRUE(registered.WaitFor([](const auto& v) {
    return v == std::vector<bool>{true, false, true};
  }));
}

TEST(SubnetDirectoryTest, OneRegistryThatIsAwayDoesNotMatter) {
  TestRegistry registry;
  const signing::Wallet owner = NewWallet();
  ASSERT_TRUE(registry.client->CreateSubnet(SignedSubnet(owner, 1)).ok());
  std::vector<std::unique_ptr<registry::RegistryClient>> clients;
  clients.push_back(ClientOf("127.0.0.1:1"));
  clients.push_back(ClientOf(registry.server->address()));
  const auto answer = registry::FindSubnet(clients, 7, {});
  ASSERT_TRUE(answer.subnet.ok()) << answer.subnet.status();
  EXPECT_THAT(answer.registries, ElementsAre(registry.server->address()));
  ASSERT_THAT(answer.problems, SizeIs(1));
  EXPECT_TRUE(absl::IsUnavailable(answer.problems[0].status));
  clients.pop_back();
  EXPECT_TRUE(absl::IsUnavailable(registry::FindSubnet(clients, 7, {}).subnet.status()));
}

}  // namespace
}  // namespace ncn
