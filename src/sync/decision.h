#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "inference/subnet.h"
#include "models/model_store.h"
#include "sync/model_outcome.h"
#include "sync/models_folder.h"

namespace ncn::sync {

// What is to be done for a model of a subnet.
struct Decision {
  std::optional<ModelOutcome> outcome;   // Nothing more. Otherwise it is to be put in place,
  std::optional<InstalledModel> before;  // instead of this version,
  std::optional<RetiredModel> restores;  // if possible from this one, which is still kept.
};

// Compares what the subnet wants with what is in the folder. What is there already is noted as of
// this subnet and version. Models that need more than `memory_bytes` are skipped; 0: none are.
Decision Decide(ModelsFolder& folder, const models::ModelStore& store, std::uint32_t subnet_id,
                const inference::SubnetModel& model, std::uint64_t memory_bytes);

ModelOutcome OutcomeOf(const inference::SubnetModel& model, ModelOutcome::Kind kind,
                       absl::Status status = absl::OkStatus());

}  // namespace ncn::sync
