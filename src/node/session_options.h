#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "node/backoff.h"
#include "wire/channel.h"
#include "wire/node_info.h"

namespace ncn::node {

// Signs a gateway's challenge with the node's wallet; signing/session_proof.h. `gateway` is the
// authority (host:port) by which the node reached it.
using SignChallenge = std::function<absl::StatusOr<std::string>(
    std::string_view nonce, std::string_view gateway, std::uint32_t protocol_version)>;

struct SessionOptions {
  std::string gateway_address;  // As the operator gave it; wire/channel.h says what is understood.
  wire::ConnectionOptions connection;
  std::uint32_t slots = 1;            // Requests that are executed at the same time.
  std::uint32_t queue_capacity = 16;  // Requests that wait for a slot.
  std::chrono::milliseconds heartbeat_interval{5000};  // Unless the gateway wants another.
  std::chrono::milliseconds handshake_timeout{10000};
  BackoffOptions backoff;
  std::uint64_t backoff_seed = 0;  // 0: drawn at random.
};

// Told as it happens, from the session's threads; must return soon.
struct SessionCallbacks {
  std::function<void()> on_connected;
  std::function<void(const std::vector<std::string>& models)> on_registered;
  std::function<void()> on_ready;                            // Once: the node takes requests.
  std::function<void(const absl::Status&)> on_disconnected;  // A connection that stood is lost.
};

// How the session is doing.
struct SessionState {
  bool connected = false;
  std::string last_error;  // Why there is no session, or why the last one ended.
  std::uint64_t reconnects = 0;
};

}  // namespace ncn::node
