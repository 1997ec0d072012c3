#include "apps/compute_node/subnet_membership.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "apps/sync_setup.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sync/sync_report.h"

namespace ncn::apps {
namespace {

using nlohmann::json;

void LogChange(const std::string& registry, const absl::Status& status) {
  if (status.ok()) {
    base::Log("registry").info("registered at {}", registry);
  } else {
    base::Log("registry").warn("not registered: {}", std::string(status.message()));
  }
}

std::string SummaryOf(const std::vector<sync::ModelOutcome>& outcomes) {
  using Kind = sync::ModelOutcome::Kind;
  const auto bad = std::count_if(outcomes.begin(), outcomes.end(), [](const auto& outcome) {
    return outcome.kind == Kind::kFailed || outcome.kind == Kind::kSkipped;
  });
  const auto all = std::count_if(outcomes.begin(), outcomes.end(), [](const auto& outcome) {
    return outcome.kind != Kind::kRemoved;
  });
  return base::StrCat(bad == 0 ? "✓" : "!", " Models synchronised: ", all - bad, " of ", all,
                      bad == 0 ? "" : "; the log says what is wrong with the others");
}

}  // namespace

absl::StatusOr<std::unique_ptr<SubnetMembership>> SubnetMembership::Join(
    const config::NodeConfig& config, models::ModelStore& store,
    std::function<wire::NodeInfo()> describe, registry::SignChallenge sign,
    std::function<void(const std::string& line)> say) {
  if (config.sync.registries.empty()) return nullptr;
  std::unique_ptr<SubnetMembership> member(new SubnetMembership());
  const std::string ca_file = config.tls_ca_file.value_or("").native();
  ASSIGN_OR_RETURN(member->registries_, ConnectRegistries(config.sync, ca_file));
  if (config.sync_models) {
    sync::SyncServiceOptions options{.folder = config.sync.models_dir,
                                     .following = FollowingOf(config.sync),
                                     .interval = std::chrono::seconds(config.sync.interval_seconds),
                                     .synchronizer = SynchronizerOptionsOf(config.sync, ca_file)};
    // Whoever else serves the folder may have requests that began before a version was replaced.
    options.synchronizer.retired_min = std::chrono::seconds(config.execution_timeout_seconds);
    options.on_pass = [say = std::move(say),
                       said = false](const std::vector<sync::ModelOutcome>& outcomes) mutable {
      if (!std::exchange(said, true)) say(SummaryOf(outcomes));
    };
    member->sync_ =
        std::make_unique<sync::SyncService>(member->registries_, store, std::move(options));
  }
  ASSIGN_OR_RETURN(sync::Registries announced, ConnectRegistries(config.sync, ca_file));
  sync::SyncService* const sync = member->sync_.get();
  member->announcer_ = std::make_unique<registry::Announcer>(
      std::move(announced), registry::AnnouncerOptions{},
      registry::Announcer::Callbacks{
          .describe =
              [describe = std::move(describe)] {
                return registry::Presentation{.info = describe(), .endpoint = ""};
              },
          .sign = std::move(sign),
          .on_subnet_version =
              [sync](const std::string&, std::uint64_t version) {
                if (sync != nullptr && version != sync->state().subnet_version) sync->RunSoon();
              },
          .on_change = LogChange});
  return member;
}

std::string SubnetMembership::ToJson() const {
  json object = {{"registries", json::array()},
                 {"sync", sync_ ? json::parse(sync::ToJson(sync_->state())) : json()}};
  for (const registry::AnnouncementState& state : announcer_->states()) {
    object["registries"].push_back({{"registry", state.registry},
                                    {"registered", state.registered},
                                    {"last_error", state.last_error},
                                    {"subnet_version", state.subnet_version}});
  }
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace ncn::apps
