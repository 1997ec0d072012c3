#include <algorithm>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "inference/model_id.h"
#include "ncn/v2/p2p_registry.pb.h"
#include "wire/codec.h"
#include "wire/text.h"

namespace ncn::wire {

const char* Name(NodeRole role) {
  switch (role) {
    case NodeRole::kCompute:
      return "compute";
    case NodeRole::kGateway:
      return "gateway";
    case NodeRole::kValidator:
      return "validator";
  }
  return "compute";
}

v2::NodeRole EncodeRole(NodeRole role) {
  switch (role) {
    case NodeRole::kCompute:
      return v2::NODE_ROLE_COMPUTE;
    case NodeRole::kGateway:
      return v2::NODE_ROLE_GATEWAY;
    case NodeRole::kValidator:
      return v2::NODE_ROLE_VALIDATOR;
  }
  return v2::NODE_ROLE_COMPUTE;
}

NodeRole DecodeRole(v2::NodeRole role) {
  switch (role) {
    case v2::NODE_ROLE_GATEWAY:
      return NodeRole::kGateway;
    case v2::NODE_ROLE_VALIDATOR:
      return NodeRole::kValidator;
    default:
      return NodeRole::kCompute;
  }
}

void Encode(const NodeQuery& query, v2::DiscoverNodesRequest* out) {
  out->set_subnet_id(query.subnet_id);
  out->set_model(CleanText(query.model, kNameBytesMax));
  if (query.role) out->set_role(EncodeRole(*query.role));
  out->set_limit(query.limit);
}

absl::StatusOr<NodeQuery> Decode(v2::DiscoverNodesRequest&& message) {
  if (!message.model().empty()) {
    RETURN_IF_ERROR(inference::ModelId::Parse(message.model()).status());
  }
  NodeQuery query{.subnet_id = message.subnet_id(),
                  .model = std::move(*message.mutable_model()),
                  .limit = message.limit()};
  if (message.role() != v2::NODE_ROLE_UNSPECIFIED) query.role = DecodeRole(message.role());
  return query;
}

void Encode(const std::vector<DiscoveredNode>& nodes, v2::DiscoverNodesResponse* out) {
  for (const DiscoveredNode& node : nodes) {
    v2::DiscoveredNode* entry = out->add_nodes();
    Encode(node.info, entry->mutable_info());
    entry->set_role(EncodeRole(node.role));
    entry->set_endpoint(CleanText(node.endpoint, kTextBytesMax));
    entry->set_last_seen_seconds(node.last_seen_seconds);
  }
}

absl::StatusOr<std::vector<DiscoveredNode>> Decode(v2::DiscoverNodesResponse&& message) {
  if (static_cast<std::size_t>(message.nodes_size()) > kListEntriesMax) {
    return absl::InvalidArgumentError(base::StrCat(
        "nodes has ", message.nodes_size(), " entries; at most ", kListEntriesMax, " are allowed"));
  }
  std::vector<DiscoveredNode> nodes;
  nodes.reserve(static_cast<std::size_t>(message.nodes_size()));
  for (v2::DiscoveredNode& entry : *message.mutable_nodes()) {
    RETURN_IF_ERROR(CheckText("nodes: endpoint", entry.endpoint(), kTextBytesMax));
    ASSIGN_OR_RETURN(NodeInfo info, Decode(std::move(*entry.mutable_info())));
    nodes.push_back({.info = std::move(info),
                     .role = DecodeRole(entry.role()),
                     .endpoint = std::move(*entry.mutable_endpoint()),
                     .last_seen_seconds = std::max<std::int64_t>(entry.last_seen_seconds(), 0)});
  }
  return nodes;
}

}  // namespace ncn::wire
