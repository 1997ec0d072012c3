#include <utility>

#include "base/status_macros.h"
#include "ncn/v2/common_types.pb.h"
#include "wire/codec.h"
#include "wire/list_codec.h"
#include "wire/text.h"

namespace ncn::wire {
namespace {

constexpr std::size_t kAddressBytes = 42;

v2::NodeState EncodeState(NodeState state) {
  switch (state) {
    case NodeState::kLoading:
      return v2::NODE_STATE_LOADING;
    case NodeState::kReady:
      return v2::NODE_STATE_READY;
    case NodeState::kDraining:
      return v2::NODE_STATE_DRAINING;
  }
  return v2::NODE_STATE_UNSPECIFIED;
}

NodeState DecodeState(v2::NodeState state) {
  switch (state) {
    case v2::NODE_STATE_READY:
      return NodeState::kReady;
    case v2::NODE_STATE_DRAINING:
      return NodeState::kDraining;
    default:
      return NodeState::kLoading;
  }
}

}  // namespace

void Encode(const NodeInfo& info, v2::NodeInfo* out) {
  out->set_address(CleanText(info.address, kAddressBytes));
  out->set_version(CleanText(info.version, kNameBytesMax));
  EncodeList(info.supported_models, kNameBytesMax, out->mutable_supported_models());
  out->set_sandbox_mode(CleanText(info.sandbox_mode, kNameBytesMax));
  EncodeList(info.enforced_layers, kNameBytesMax, out->mutable_enforced_layers());
  out->set_slots_total(info.slots_total);
  out->set_slots_in_use(info.slots_in_use);
  out->set_slots_free(info.slots_free);
  out->set_queued(info.queued);
  out->set_queue_capacity(info.queue_capacity);
  v2::StatisticsSummary* statistics = out->mutable_statistics();
  statistics->set_executions_total(info.statistics.executions_total);
  statistics->set_executions_successful(info.statistics.executions_successful);
  statistics->set_executions_failed(info.statistics.executions_failed);
  statistics->set_average_time_us(info.statistics.average_time_us);
  out->set_state(EncodeState(info.state));
  out->set_input_bytes_max(info.input_bytes_max);
  out->set_subnet_id(info.subnet_id);
}

absl::StatusOr<NodeInfo> Decode(v2::NodeInfo&& message) {
  RETURN_IF_ERROR(CheckText("info.address", message.address(), kAddressBytes));
  RETURN_IF_ERROR(CheckText("info.version", message.version(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("info.sandbox_mode", message.sandbox_mode(), kNameBytesMax));
  ASSIGN_OR_RETURN(auto models, DecodeList("info.supported_models", kNameBytesMax,
                                           message.mutable_supported_models()));
  ASSIGN_OR_RETURN(auto layers, DecodeList("info.enforced_layers", kNameBytesMax,
                                           message.mutable_enforced_layers()));
  const v2::StatisticsSummary& statistics = message.statistics();
  return NodeInfo{
      .address = std::move(*message.mutable_address()),
      .version = CleanText(message.version(), kNameBytesMax),
      .supported_models = std::move(models),
      .sandbox_mode = CleanText(message.sandbox_mode(), kNameBytesMax),
      .enforced_layers = std::move(layers),
      .slots_total = message.slots_total(),
      .slots_in_use = message.slots_in_use(),
      .slots_free = message.slots_free(),
      .queued = message.queued(),
      .queue_capacity = message.queue_capacity(),
      .statistics = {.executions_total = statistics.executions_total(),
                     .executions_successful = statistics.executions_successful(),
                     .executions_failed = statistics.executions_failed(),
                     .average_time_us = statistics.average_time_us()},
      .state = DecodeState(message.state()),
      .input_bytes_max = message.input_bytes_max(),
      .subnet_id = message.subnet_id(),
  };
}

}  // namespace ncn::wire
