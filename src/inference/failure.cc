#include "inference/failure.h"

#include <array>

namespace ncn::inference {
namespace {

struct Row {
  FailureKind kind;
  std::string_view name;
  absl::StatusCode code;
  bool retry_elsewhere;
};

constexpr std::array<Row, 19> kRows = {{
    {FailureKind::kInvalidInput, "INVALID_INPUT", absl::StatusCode::kInvalidArgument, false},
    {FailureKind::kInputTooLarge, "INPUT_TOO_LARGE", absl::StatusCode::kInvalidArgument, true},
    {FailureKind::kModelNotFound, "MODEL_NOT_FOUND", absl::StatusCode::kNotFound, true},
    {FailureKind::kModelInvalid, "MODEL_INVALID", absl::StatusCode::kFailedPrecondition, true},
    {FailureKind::kModelChanged, "MODEL_CHANGED", absl::StatusCode::kAborted, true},
    {FailureKind::kModelUnsupported, "MODEL_UNSUPPORTED", absl::StatusCode::kUnimplemented, true},
    {FailureKind::kTimeout, "TIMEOUT", absl::StatusCode::kDeadlineExceeded, true},
    {FailureKind::kCpuLimit, "CPU_LIMIT", absl::StatusCode::kResourceExhausted, true},
    {FailureKind::kMemoryLimit, "MEMORY_LIMIT", absl::StatusCode::kResourceExhausted, true},
    {FailureKind::kOutputTooLarge, "OUTPUT_TOO_LARGE", absl::StatusCode::kResourceExhausted, true},
    {FailureKind::kForbiddenSystemCall, "FORBIDDEN_SYSTEM_CALL",
     absl::StatusCode::kPermissionDenied, false},
    {FailureKind::kAccessDenied, "ACCESS_DENIED", absl::StatusCode::kPermissionDenied, false},
    {FailureKind::kExecutorCrashed, "EXECUTOR_CRASHED", absl::StatusCode::kAborted, true},
    {FailureKind::kExecutorProtocol, "EXECUTOR_PROTOCOL", absl::StatusCode::kDataLoss, false},
    {FailureKind::kSandboxUnavailable, "SANDBOX_UNAVAILABLE", absl::StatusCode::kUnavailable, true},
    {FailureKind::kQueueFull, "QUEUE_FULL", absl::StatusCode::kResourceExhausted, true},
    {FailureKind::kPaymentRequired, "PAYMENT_REQUIRED", absl::StatusCode::kFailedPrecondition,
     false},
    {FailureKind::kCancelled, "CANCELLED", absl::StatusCode::kCancelled, false},
    {FailureKind::kInternal, "INTERNAL", absl::StatusCode::kInternal, true},
}};

const Row& RowOf(FailureKind kind) {
  for (const Row& row : kRows) {
    if (row.kind == kind) return row;
  }
  return kRows.back();
}

}  // namespace

std::string_view Name(FailureKind kind) { return RowOf(kind).name; }

std::optional<FailureKind> FailureKindFromName(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

absl::StatusCode Code(FailureKind kind) { return RowOf(kind).code; }

bool WorthRetryingElsewhere(FailureKind kind) { return RowOf(kind).retry_elsewhere; }

}  // namespace ncn::inference
