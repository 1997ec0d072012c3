#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ncn::inference {

// Why a request has no result. One per cause that an operator or caller would treat differently.
enum class FailureKind {
  kInvalidInput,         // The caller's bytes are not what the model takes.
  kInputTooLarge,        // More bytes than the node accepts.
  kModelNotFound,        // The node does not have the model.
  kModelInvalid,         // The model's file or manifest cannot be used.
  kModelChanged,         // The model's files changed while they were used.
  kModelUnsupported,     // The file is sound, but no executor of this node can run it.
  kTimeout,              // The wall-clock limit passed.
  kCpuLimit,             // The CPU time limit passed.
  kMemoryLimit,          // The memory limit was hit.
  kOutputTooLarge,       // The executor wrote more than the limit.
  kForbiddenSystemCall,  // The sandbox stopped the executor.
  kAccessDenied,         // The executor needs a path that the sandbox does not give it.
  kExecutorCrashed,      // The executor ended without an answer.
  kExecutorProtocol,     // The executor answered something that is no answer.
  kSandboxUnavailable,   // The sandbox could not be set up as the mode demands.
  kQueueFull,            // The node has no room for another request.
  kPaymentRequired,      // The node wants a payment that the request does not prove.
  kCancelled,            // The caller or the operator cancelled.
  kInternal,             // A fault of the node itself.
};

// "INVALID_INPUT" and so on, as in logs, statistics and on the wire.
std::string_view Name(FailureKind kind);
std::optional<FailureKind> FailureKindFromName(std::string_view name);

// The gRPC status code that fits.
absl::StatusCode Code(FailureKind kind);

// Whether another node might succeed where this one failed.
bool WorthRetryingElsewhere(FailureKind kind);

struct Failure {
  FailureKind kind = FailureKind::kInternal;
  std::string message;  // What happened and why; bounded, printable, without payload or secrets.
  std::string cure;     // What to do next; may be empty.
  // What the executor itself said, bounded and printable. For the caller, who owns the payload that
  // may be in it; never logged.
  std::string detail;
};

}  // namespace ncn::inference
