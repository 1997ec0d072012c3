#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "inference/inference_request.h"
#include "inference/inference_response.h"
#include "inference/limits.h"
#include "inference/subnet.h"
#include "wire/node_info.h"
#include "wire/registry_messages.h"
#include "wire/session_messages.h"
#include "wire/task_update.h"

namespace ncn::v2 {
class DiscoverNodesRequest;
class DiscoverNodesResponse;
class GatewayMessage;
class InferenceRequest;
class InferenceResponse;
class NodeInfo;
class NodeMessage;
class PaymentProof;
class Subnet;
class TaskUpdate;
enum NodeRole : int;
}  // namespace ncn::v2

// Protobuf messages ⇄ values. Decode takes what anybody may have sent: it consumes the message
// (payloads are moved, not copied) and returns a value that keeps to every limit of the protocol,
// or InvalidArgument or ResourceExhausted that names the field. Encode replaces what a text field
// cannot carry (invalid UTF-8, control characters) and cuts text that is too long. Thread-safe.
namespace ncn::wire {

void Encode(const inference::InferenceRequest& request, v2::InferenceRequest* out);
absl::StatusOr<inference::InferenceRequest> Decode(v2::InferenceRequest&& message,
                                                   const inference::RequestLimits& limits);

void Encode(const inference::InferenceResponse& response, v2::InferenceResponse* out);
// Checks form only; signatures are for signing/result_signature.h.
absl::StatusOr<inference::InferenceResponse> Decode(v2::InferenceResponse&& message);

void Encode(const NodeInfo& info, v2::NodeInfo* out);
absl::StatusOr<NodeInfo> Decode(v2::NodeInfo&& message);

void Encode(const inference::PaymentProof& proof, v2::PaymentProof* out);
absl::StatusOr<inference::PaymentProof> Decode(v2::PaymentProof&& message);

// A malformed response arrives as Malformed, anything else malformed as an error.
void Encode(const NodeMessage& message, v2::NodeMessage* out);
absl::StatusOr<NodeMessage> Decode(v2::NodeMessage&& message);

// A malformed request arrives as Malformed, anything else malformed as an error.
void Encode(const GatewayMessage& message, v2::GatewayMessage* out);
absl::StatusOr<GatewayMessage> Decode(v2::GatewayMessage&& message,
                                      const inference::RequestLimits& limits);

void Encode(const TaskUpdate& update, v2::TaskUpdate* out);
absl::StatusOr<TaskUpdate> Decode(v2::TaskUpdate&& message);

// A subnet keeps to inference::Validate, but its owner's signature is not looked at; see
// signing/subnet_signature.h. A summary is an entry of a list: without models and signature.
void Encode(const inference::Subnet& subnet, v2::Subnet* out);
absl::StatusOr<inference::Subnet> Decode(v2::Subnet&& message);
void EncodeSummary(const inference::Subnet& subnet, v2::Subnet* out);

void Encode(const NodeQuery& query, v2::DiscoverNodesRequest* out);
absl::StatusOr<NodeQuery> Decode(v2::DiscoverNodesRequest&& message);

void Encode(const std::vector<DiscoveredNode>& nodes, v2::DiscoverNodesResponse* out);
absl::StatusOr<std::vector<DiscoveredNode>> Decode(v2::DiscoverNodesResponse&& message);

v2::NodeRole EncodeRole(NodeRole role);
// A role that is not known counts as kCompute.
NodeRole DecodeRole(v2::NodeRole role);

}  // namespace ncn::wire
