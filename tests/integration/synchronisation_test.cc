// The synchroniser and its service against the reference registry.
#include <filesystem>
#include <functional>
#include <thread>

#include "gmock/gmock.h"
#include "registry_fixture.h"
#include "sync/registry_chunks.h"
#include "sync/sync_service.h"
#include "sync/testing_models.h"

namespace ncn {
namespace {

using sync::ModelOutcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

class SynchronisationTest : public testing::Test {
 protected:
  // By gRPC only, so that files come in chunks.
  SynchronisationTest() : registry_({.http_listen_address = ""}) {
    registries_.push_back(ClientOf(registry_.server->address()));
  }

  std::filesystem::path Models() const { return folder_.path() / "models"; }
  std::filesystem::path Entry() const { return Models() / "tiny_model.safetensors"; }

  // Puts the model "tiny" of this content into the subnet, which is made with the first.
  void Publish(const std::string& content) {
    inference::SubnetModel model = SomeModel("tiny", content);
    model.format = "safetensors";
    model.files[0].path = "tiny_model.safetensors";
    const inference::Subnet subnet = SignedSubnet(owner_, ++version_, {model});
    const auto stored = version_ == 1 ? registry_.client->CreateSubnet(subnet)
                                      : registry_.client->UpdateSubnet(subnet);
    ASSERT_TRUE(stored.ok()) << stored.status();
    const base::UniqueFd file = FileWith(content);
    const absl::Status uploaded = registry_.client->Upload(file.get(), Permit(owner_, content), {});
    ASSERT_TRUE(uploaded.ok()) << uploaded;
  }
  sync::SynchronizerOptions Options() const {
    sync::SynchronizerOptions options;
    options.download.disk_reserve_bytes = 0;
    return options;
  }
  static bool WaitFor(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  TestRegistry registry_;
  const signing::Wallet owner_ = NewWallet();
  std::uint64_t version_ = 0;
  ScratchFolder folder_;
  sync::Registries registries_;
};

TEST_F(SynchronisationTest, FetchesAModelInChunksFromARegistryWithoutHttp) {
  const std::string content = sync::SafetensorsOf(1, 5 << 20);
  Publish(content);
  auto folder = sync::ModelsFolder::Open(Models());
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto subnet = sync::AcceptSubnet(**folder, registries_, {.subnet_id = 7}, {});
  ASSERT_TRUE(subnet.ok()) << subnet.status();
  EXPECT_THAT(subnet->models[0].files[0].sources, ElementsAre(StartsWith("grpc://127.0.0.1:")));
  sync::RegistryChunks chunks(registries_);
  models::ModelStore store(Models());
  sync::SynchronizerOptions options = Options();
  options.download.chunk_sources["grpc"] = &chunks;
  sync::Synchronizer synchronizer(**folder, store, options);
  const auto outcomes = synchronizer.Run(*subnet);
  ASSERT_THAT(outcomes, SizeIs(1));
  EXPECT_EQ(outcomes[0].kind, ModelOutcome::Kind::kInstalled) << outcomes[0].status;
  EXPECT_EQ(sync::ReadAllOf(Entry()), content);
  EXPECT_EQ(synchronizer.counts().fetched_bytes, content.size());
}

TEST_F(SynchronisationTest, AsksNoRegistryThatTheOperatorDidNotName) {
  const std::string content = sync::SafetensorsOf(1);
  Publish(content);
  auto folder = sync::ModelsFolder::Open(Models());
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto subnet = sync::AcceptSubnet(**folder, registries_, {.subnet_id = 7}, {});
  ASSERT_TRUE(subnet.ok()) << subnet.status();
  const sync::Registries others;
  sync::RegistryChunks chunks(others);
  models::ModelStore store(Models());
  sync::SynchronizerOptions options = Options();
  options.download.chunk_sources["grpc"] = &chunks;
  const auto outcomes = sync::Synchronizer(**folder, store, options).Run(*subnet);
  ASSERT_THAT(outcomes, SizeIs(1));
  EXPECT_THAT(std::string(outcomes[0].status.message()),
              HasSubstr("is none of the registries of --registry-addr"));
  EXPECT_FALSE(std::filesystem::exists(Entry()));
}

TEST_F(SynchronisationTest, BringsTheNewVersionWhenItIsAskedToAndNotBefore) {
  Publish(sync::SafetensorsOf(1));
  models::ModelStore store(Models());
  sync::SyncService service(registries_, store,
                            {.folder = Models(),
                             .following = {.subnet_id = 7},
                             .interval = std::chrono::hours(1),
                             .retry = std::chrono::hours(1),
                             .synchronizer = Options()});
  ASSERT_TRUE(WaitFor([&] { return service.state().counts.passes == 1; }));
  EXPECT_EQ(sync::ReadAllOf(Entry()), sync::SafetensorsOf(1)) << service.state().last_error;
  Publish(sync::SafetensorsOf(2));
  EXPECT_EQ(service.state().subnet_version, 1u);
  service.RunSoon();
  ASSERT_TRUE(WaitFor([&] { return service.state().counts.passes == 2; }));
  EXPECT_EQ(service.state().subnet_version, 2u);
  EXPECT_EQ(sync::ReadAllOf(Entry()), sync::SafetensorsOf(2)) << service.state().last_error;
  EXPECT_EQ(service.state().counts.installed_models, 2u);
  EXPECT_EQ(service.state().pause, std::chrono::hours(1));
}

TEST_F(SynchronisationTest, GoesOnWhenTheRegistryIsBack) {
  Publish(sync::SafetensorsOf(1));
  registry_.server.reset();
  models::ModelStore store(Models());
  sync::SyncService service(registries_, store,
                            {.folder = Models(),
                             .following = {.subnet_id = 7},
                             .interval = std::chrono::hours(1),
                             .retry = std::chrono::milliseconds(10),
                             .synchronizer = Options()});
  ASSERT_TRUE(WaitFor([&] { return service.state().counts.failed_passes >= 2; }));
  EXPECT_THAT(service.state().last_error, HasSubstr("127.0.0.1"));
  // On the port that it had.
  registry_.options.listen_address =
      registries_[0]->address().substr(std::string("http://").size());
  registry_.Start();
  EXPECT_TRUE(WaitFor([&] { return service.state().counts.installed_models == 1; }))
      << service.state().last_error;
}

}  // namespace
}  // namespace ncn
