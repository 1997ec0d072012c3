#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "inference/inference_request.h"
#include "inference/inference_response.h"
#include "inference/progress.h"
#include "wire/node_info.h"

// The messages of a node's session as plain values. What each field means, and who sets it, stands
// in proto/ncn/v2/gateway_compute.proto.
namespace ncn::wire {

inline constexpr std::uint32_t kProtocolVersion = 1;

enum class TaskState { kQueued, kDispatched, kRunning, kSucceeded, kFailed };
enum class RejectReason { kNoCredit, kInvalid, kTooLarge, kDraining, kDuplicate };
enum class AckVerdict { kAccepted, kDuplicate, kUnknown, kRefused };

const char* Name(TaskState state);
const char* Name(RejectReason reason);
const char* Name(AckVerdict verdict);

// Node to gateway.
struct Hello {
  std::uint32_t protocol_version = kProtocolVersion;
  NodeInfo info;
  std::string wallet_proof;  // 65 bytes.
  std::vector<std::string> running;
  std::vector<std::string> unacknowledged;
};
struct Heartbeat {
  NodeInfo info;
  std::uint32_t load_milli = 0;
};
struct Progress {
  std::string request_id;
  TaskState state = TaskState::kDispatched;
  std::uint32_t done_permille = 0;
  std::string note;
  inference::Payload partial;  // Empty when there is nothing new.
};
struct Reject {
  std::string request_id;  // Empty when it was not readable.
  RejectReason reason = RejectReason::kInvalid;
  std::string message;
};
struct Goodbye {
  std::string reason;
  std::vector<std::string> unfinished;
};

// Gateway to node.
struct Challenge {
  std::string nonce;
  std::string gateway;
  std::uint32_t protocol_version = kProtocolVersion;
};
struct Welcome {
  std::string session_id;
  std::chrono::milliseconds heartbeat_interval{0};  // 0: the node's own.
  std::uint64_t message_bytes_max = 0;              // 0: not stated.
  std::string gateway_version;
};
struct Cancel {
  std::string request_id;
  std::string reason;
};
struct ResultAck {
  std::string request_id;
  AckVerdict verdict = AckVerdict::kAccepted;
  std::string message;
};
struct Drain {
  std::string reason;
  std::chrono::milliseconds deadline{0};
};

// Payloads are large and pass through several hands; nobody changes them.
using SharedRequest = std::shared_ptr<const inference::InferenceRequest>;
using SharedResponse = std::shared_ptr<const inference::InferenceResponse>;

// A request or response that arrived but is no valid one; its id, where readable, allows an answer.
struct Malformed {
  std::string request_id;  // Empty when it was not readable.
  absl::Status why;
};
// A message without content, or of a kind that a later version adds.
struct Unknown {};

struct NodeMessage {
  std::uint64_t credits = 0;  // Requests that the gateway may have sent on this session in all.
  std::variant<Unknown, Hello, Heartbeat, Progress, SharedResponse, Reject, Goodbye, Malformed>
      body;  // A SharedResponse is never null.
};
// A SharedRequest is never null.
using GatewayMessage =
    std::variant<Unknown, Challenge, Welcome, SharedRequest, Cancel, ResultAck, Drain, Malformed>;

}  // namespace ncn::wire
