#pragma once

#include <string>
#include <string_view>

#include "sync/sync_service.h"

namespace ncn::sync {

// The state as one JSON object.
std::string ToJson(const SyncState& state);

// What ToJson wrote, as lines for people; empty for anything else.
std::string TextOfJson(std::string_view text);

}  // namespace ncn::sync
