#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "spdlog/logger.h"

namespace ncn::base {

// The logger of a room, "compute_node::<room>". Rooms call it at the place of use:
//   base::Log("sandbox").info("started pid {}", pid);
// Every line goes to stderr with time, level, room and, inside a ScopedRequestId, the request.
// Secrets and payloads are never logged. Thread-safe.
spdlog::logger& Log(std::string_view room);

// Sets the levels of all rooms from a filter in the syntax of COMPUTE_NODE_LOG and RUST_LOG: comma
// separated directives, each a level ("debug") or target=level ("compute_node::sandbox=trace"); the
// longest matching target wins, and a bare target means trace. Levels: trace, debug, info, warn,
// error, off. An empty filter means "info". InvalidArgument names the directive that is wrong; the
// levels then stay as they were. Thread-safe.
absl::Status ConfigureLogging(std::string_view filter);

// Names the request that the current thread works on, on every line it logs, until destroyed.
class ScopedRequestId {
 public:
  explicit ScopedRequestId(std::string_view request_id);
  ~ScopedRequestId();
  ScopedRequestId(const ScopedRequestId&) = delete;
  ScopedRequestId& operator=(const ScopedRequestId&) = delete;

 private:
  std::string previous_;
};

}  // namespace ncn::base
