#include "sync/decision.h"

#include <string>
#include <utility>

#include "base/strings.h"
#include "sync/content.h"
#include "sync/model_tree.h"
#include "sync/progress_text.h"

namespace ncn::sync {
namespace {

using Kind = ModelOutcome::Kind;

ModelOutcome Keep(ModelsFolder& folder, std::uint32_t subnet_id,
                  const inference::SubnetModel& model, InstalledModel was) {
  if (was.version == model.version && was.subnet_id == subnet_id) {
    return OutcomeOf(model, Kind::kKept);
  }
  was.version = model.version;
  was.subnet_id = subnet_id;
  const absl::Status status = folder.Adopt(was);
  return OutcomeOf(model, status.ok() ? Kind::kKept : Kind::kFailed, status);
}

// Somebody else put it there.
ModelOutcome Adopt(ModelsFolder& folder, std::uint32_t subnet_id,
                   const inference::SubnetModel& model,
                   const absl::StatusOr<std::shared_ptr<const models::Model>>& there) {
  const std::string entry = EntryName(model);
  const auto same = HasContentOf(folder.path() / entry, model);
  if (!same.ok() || !*same || !there.ok()) {
    return OutcomeOf(model, Kind::kFailed,
                     absl::AlreadyExistsError(
                         base::StrCat("another model of this name is in ", folder.path().native(),
                                      " and was not synchronised; move it away")));
  }
  const absl::Status status = folder.Adopt({.model = model.model.value(),
                                            .subnet_id = subnet_id,
                                            .version = model.version,
                                            .content_id = ContentId(model),
                                            .entry = entry,
                                            .tree_sha256 = (*there)->tree_sha256,
                                            .size_bytes = (*there)->tree_size_bytes});
  return OutcomeOf(model, status.ok() ? Kind::kAdopted : Kind::kFailed, status);
}

std::optional<RetiredModel> RetiredOf(const ModelsFolder& folder, const std::string& model,
                                      const std::string& content) {
  const auto retired = folder.Retired();
  if (!retired.ok()) return std::nullopt;
  for (const RetiredModel& one : *retired) {
    if (one.was.model == model && one.was.content_id == content) return one;
  }
  return std::nullopt;
}

}  // namespace

ModelOutcome OutcomeOf(const inference::SubnetModel& model, Kind kind, absl::Status status) {
  return {.kind = kind,
          .model = model.model.value(),
          .version = model.version,
          .size_bytes = DownloadBytes(model),
          .status = std::move(status)};
}

Decision Decide(ModelsFolder& folder, const models::ModelStore& store, std::uint32_t subnet_id,
                const inference::SubnetModel& model, std::uint64_t memory_bytes) {
  if (memory_bytes > 0 && model.memory_bytes_min > memory_bytes) {
    return {.outcome = OutcomeOf(model, Kind::kSkipped,
                                 absl::FailedPreconditionError(base::StrCat(
                                     "needs ", BytesText(model.memory_bytes_min),
                                     " of memory; there are ", BytesText(memory_bytes))))};
  }
  auto before = folder.Find(model.model.value());
  if (!before.ok()) return {.outcome = OutcomeOf(model, Kind::kFailed, before.status())};
  const auto there = store.Find(model.model);
  const std::string content = ContentId(model);
  if (*before && (*before)->content_id == content && there.ok() &&
      (*there)->tree_sha256 == (*before)->tree_sha256) {
    return {.outcome = Keep(folder, subnet_id, model, **before)};
  }
  if (!*before && !absl::IsNotFound(there.status())) {
    return {.outcome = Adopt(folder, subnet_id, model, there)};
  }
  return {.before = *std::move(before),
          .restores = RetiredOf(folder, model.model.value(), content)};
}

}  // namespace ncn::sync
