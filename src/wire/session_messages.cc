#include "wire/session_messages.h"

namespace ncn::wire {

const char* Name(NodeState state) {
  switch (state) {
    case NodeState::kLoading:
      return "LOADING";
    case NodeState::kReady:
      return "READY";
    case NodeState::kDraining:
      return "DRAINING";
  }
  return "LOADING";
}

const char* Name(TaskState state) {
  switch (state) {
    case TaskState::kQueued:
      return "QUEUED";
    case TaskState::kDispatched:
      return "DISPATCHED";
    case TaskState::kRunning:
      return "RUNNING";
    case TaskState::kSucceeded:
      return "SUCCEEDED";
    case TaskState::kFailed:
      return "FAILED";
  }
  return "QUEUED";
}

const char* Name(RejectReason reason) {
  switch (reason) {
    case RejectReason::kNoCredit:
      return "NO_CREDIT";
    case RejectReason::kInvalid:
      return "INVALID";
    case RejectReason::kTooLarge:
      return "TOO_LARGE";
    case RejectReason::kDraining:
      return "DRAINING";
    case RejectReason::kDuplicate:
      return "DUPLICATE";
  }
  return "INVALID";
}

const char* Name(AckVerdict verdict) {
  switch (verdict) {
    case AckVerdict::kAccepted:
      return "ACCEPTED";
    case AckVerdict::kDuplicate:
      return "DUPLICATE";
    case AckVerdict::kUnknown:
      return "UNKNOWN";
    case AckVerdict::kRefused:
      return "REFUSED";
  }
  return "ACCEPTED";
}

}  // namespace ncn::wire
