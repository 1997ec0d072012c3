#pragma once

#include <string>

#include "reference/broker.h"
#include "wire/session_messages.h"

namespace ncn::reference {

// Verifies an answer of the node `key` with the proven `address`, and gives it to the broker if it
// holds; otherwise the node is distrusted. Returns what to tell the node. Hashes the whole payload.
wire::ResultAck TakeResponse(Broker& broker, Broker::NodeKey key, const std::string& address,
                             const wire::SharedResponse& response);

}  // namespace ncn::reference
