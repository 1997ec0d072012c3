#pragma once

#include <cstdint>
#include <string>

#include "inference/payload.h"
#include "wire/session_messages.h"

namespace ncn::wire {

// A task as of now; what clients see. proto/ncn/v2/gateway_client.proto explains each field.
struct TaskUpdate {
  std::string request_id;
  TaskState state = TaskState::kQueued;
  std::uint32_t done_permille = 0;
  std::string note;
  inference::Payload partial;
  std::string node_address;
  SharedResponse response;  // Null until the task has ended.

  bool final() const { return response != nullptr; }
};

}  // namespace ncn::wire
