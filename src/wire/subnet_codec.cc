#include <algorithm>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "ncn/v2/p2p_registry.pb.h"
#include "wire/codec.h"

namespace ncn::wire {
namespace {

// Before anything is copied; inference::Validate says the rest.
absl::Status CheckCount(std::string_view field, int found, std::size_t most) {
  if (static_cast<std::size_t>(found) <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat(field, " has ", found, " entries; at most ", most, " are allowed"));
}

inference::SubnetFile DecodeFile(v2::ModelFile& message) {
  inference::SubnetFile file{.path = std::move(*message.mutable_path()),
                             .size_bytes = message.size_bytes(),
                             .sha256 = std::move(*message.mutable_sha256()),
                             .unpack = message.unpack()};
  file.sources.reserve(static_cast<std::size_t>(message.sources_size()));
  for (std::string& source : *message.mutable_sources()) file.sources.push_back(std::move(source));
  return file;
}

absl::StatusOr<inference::SubnetModel> DecodeModel(v2::SubnetModel& message) {
  ASSIGN_OR_RETURN(auto name, inference::ModelId::Parse(message.model()));
  RETURN_IF_ERROR(CheckCount(base::StrCat("model '", name.value(), "': files"),
                             message.files_size(), inference::kModelFilesMax));
  inference::SubnetModel model{.model = std::move(name),
                               .version = std::move(*message.mutable_version()),
                               .format = std::move(*message.mutable_format()),
                               .executor_script = std::move(*message.mutable_executor_script()),
                               .memory_bytes_min = message.memory_bytes_min()};
  model.files.reserve(static_cast<std::size_t>(message.files_size()));
  for (v2::ModelFile& file : *message.mutable_files()) {
    RETURN_IF_ERROR(CheckCount(base::StrCat("model '", model.model.value(), "': sources"),
                               file.sources_size(), inference::kFileSourcesMax));
    model.files.push_back(DecodeFile(file));
  }
  return model;
}

void EncodeModel(const inference::SubnetModel& model, v2::SubnetModel* out) {
  out->set_model(model.model.value());
  out->set_version(model.version);
  out->set_format(model.format);
  for (const inference::SubnetFile& file : model.files) {
    v2::ModelFile* entry = out->add_files();
    entry->set_path(file.path);
    entry->set_size_bytes(file.size_bytes);
    entry->set_sha256(file.sha256);
    for (const std::string& source : file.sources) entry->add_sources(source);
    entry->set_unpack(file.unpack);
  }
  out->set_executor_script(model.executor_script);
  out->set_memory_bytes_min(model.memory_bytes_min);
}

}  // namespace

void EncodeSummary(const inference::Subnet& subnet, v2::Subnet* out) {
  out->set_subnet_id(subnet.subnet_id);
  out->set_name(subnet.name);
  out->set_owner_address(subnet.owner_address);
  out->set_version(subnet.version);
}

// As it is: what a signature covers must arrive to the byte, so nothing is replaced or cut.
void Encode(const inference::Subnet& subnet, v2::Subnet* out) {
  EncodeSummary(subnet, out);
  for (const inference::SubnetModel& model : subnet.models) EncodeModel(model, out->add_models());
  out->set_owner_signature(subnet.owner_signature);
}

absl::StatusOr<inference::Subnet> Decode(v2::Subnet&& message) {
  RETURN_IF_ERROR(CheckCount("models", message.models_size(), inference::kSubnetModelsMax));
  inference::Subnet subnet{.subnet_id = message.subnet_id(),
                           .name = std::move(*message.mutable_name()),
                           .owner_address = std::move(*message.mutable_owner_address()),
                           .version = message.version(),
                           .owner_signature = std::move(*message.mutable_owner_signature())};
  subnet.models.reserve(static_cast<std::size_t>(message.models_size()));
  for (v2::SubnetModel& model : *message.mutable_models()) {
    ASSIGN_OR_RETURN(auto decoded, DecodeModel(model));
    subnet.models.push_back(std::move(decoded));
  }
  RETURN_IF_ERROR(inference::Validate(subnet));
  return subnet;
}

}  // namespace ncn::wire
