#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "config/node_config.h"
#include "models/model_store.h"
#include "registry/announcer.h"
#include "sync/sync_service.h"
#include "wire/node_info.h"

namespace ncn::apps {

// What a node has to do with its subnet: it stands in the registries' lists, and keeps the subnet's
// models if it was told to. Thread-safe.
class SubnetMembership {
 public:
  // Null without registries. `say` gets a line when the models were synchronised for the first
  // time. `store` outlives it; errors name a registry's address.
  static absl::StatusOr<std::unique_ptr<SubnetMembership>> Join(
      const config::NodeConfig& config, models::ModelStore& store,
      std::function<wire::NodeInfo()> describe, registry::SignChallenge sign,
      std::function<void(const std::string& line)> say);

  // What `describe` says has changed.
  void NotifyChanged() { announcer_->Refresh(); }

  // How the models stand and who lists the node, as a JSON object.
  std::string ToJson() const;

 private:
  SubnetMembership() = default;

  sync::Registries registries_;
  std::unique_ptr<sync::SyncService> sync_;  // Null when models are not synchronised.
  std::unique_ptr<registry::Announcer> announcer_;
};

}  // namespace ncn::apps
