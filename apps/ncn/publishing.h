#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/subnet.h"
#include "registry/registry_client.h"
#include "signing/wallet.h"

namespace ncn::apps {

// A model as it lies on this machine, and what else its subnet's nodes shall know of it.
struct ModelToPublish {
  std::filesystem::path path;  // A model file, a model's folder, or a tar.gz or zip archive of one.
  std::string name;            // Empty: as the path says.
  std::string version;         // Empty: the manifest's, else "1".
  std::string format;          // Empty: by content; needed for an archive.
  std::string executor_script;         // Empty: the manifest's.
  std::uint64_t memory_bytes_min = 0;  // 0: the manifest's.
  // Where the file is to be had; of a folder the path of each file is put after it.
  std::vector<std::string> sources;
};

// A file to hand over: where it is, and what the metadata say of it.
struct LocalFile {
  std::filesystem::path path;
  inference::SubnetFile file;
};
struct DescribedModel {
  inference::SubnetModel model;
  std::vector<LocalFile> files;
};

// Reads and hashes the model's files. Links and special files are refused, hidden files left out;
// errors of models/model_store.h and of inference::Validate.
absl::StatusOr<DescribedModel> Describe(const ModelToPublish& model);

// Gives the registry those of the model's files that it lacks. `on_progress` hears how far each is.
using UploadProgress = std::function<void(const LocalFile& file, std::uint64_t bytes_held)>;
absl::Status UploadFiles(registry::RegistryClient& registry, const signing::Wallet& owner,
                         std::uint32_t subnet_id, const DescribedModel& model,
                         const UploadProgress& on_progress, std::stop_token stop = {});

// Creates a subnet without models; AlreadyExists.
absl::StatusOr<inference::Subnet> CreateSubnet(registry::RegistryClient& registry,
                                               const signing::Wallet& owner,
                                               std::uint32_t subnet_id, const std::string& name);

// Reads the subnet, changes it, signs and stores it as the next version; anew when another change
// came first. Nothing is stored when `change` fails. PermissionDenied when the wallet is not the
// owner's.
absl::StatusOr<inference::Subnet> ChangeSubnet(
    registry::RegistryClient& registry, const signing::Wallet& owner, std::uint32_t subnet_id,
    const std::function<absl::Status(inference::Subnet&)>& change);

// Puts `model` in the place of the one of its name, or adds it.
absl::Status ReplaceModel(inference::Subnet& subnet, inference::SubnetModel model);
// NotFound.
absl::Status RemoveModel(inference::Subnet& subnet, const std::string& name);

}  // namespace ncn::apps
