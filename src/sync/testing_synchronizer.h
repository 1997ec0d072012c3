#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "sync/synchronizer.h"
#include "sync/testing_models.h"

namespace ncn::sync {

// A subnet whose files lie in a folder of this machine.
class SynchronizerFixture : public testing::Test {
 protected:
  SynchronizerFixture() : store_(models()) {
    subnet_.subnet_id = 1;
    subnet_.version = 1;
    options_.download.file_folders = {published()};
    options_.download.disk_reserve_bytes = 0;
    options_.download.retries_max = 0;
    options_.retired_min = std::chrono::seconds(0);
    Reopen();
  }

  std::filesystem::path models() const { return temporary_.path() / "models"; }
  std::filesystem::path published() const { return temporary_.path() / "published"; }

  void Reopen() {
    synchronizer_.reset();
    folder_.reset();
    auto folder = ModelsFolder::Open(models());
    ASSERT_TRUE(folder.ok()) << folder.status();
    folder_ = *std::move(folder);
    synchronizer_ = std::make_unique<Synchronizer>(*folder_, store_, options_);
  }

  inference::SubnetFile Publish(const std::string& path, const std::string& bytes) {
    const std::string hash = Sha256Hex(bytes);
    WriteFile(published() / hash, bytes);
    return {.path = path,
            .size_bytes = bytes.size(),
            .sha256 = hash,
            .sources = {"file://" + (published() / hash).native()}};
  }
  inference::SubnetModel& Add(const std::string& name, std::vector<inference::SubnetFile> files,
                              const std::string& version = "1") {
    subnet_.models.push_back({.model = *inference::ModelId::Parse(name),
                              .version = version,
                              .format = "safetensors",
                              .files = std::move(files)});
    return subnet_.models.back();
  }
  std::vector<ModelOutcome> Run(const std::vector<std::string>& only = {}) {
    return synchronizer_->Run(subnet_, {}, only);
  }
  ModelOutcome RunOne() {
    const std::vector<ModelOutcome> outcomes = Run();
    EXPECT_EQ(outcomes.size(), 1u);
    return outcomes.empty() ? ModelOutcome() : outcomes.front();
  }
  bool Serves(const std::string& name) {
    return store_.Find(*inference::ModelId::Parse(name)).ok();
  }

  TemporaryFolder temporary_;
  models::ModelStore store_;
  inference::Subnet subnet_;
  SynchronizerOptions options_;
  std::unique_ptr<ModelsFolder> folder_;
  std::unique_ptr<Synchronizer> synchronizer_;
};

}  // namespace ncn::sync
