#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "rewind/remote_calls.h"
#include "rewind/snapshot.h"

namespace ncn::rewind {

// Makes the process map all of the image, privately, in place of the memory that it was copied
// from, and a second time to read from, with the loops of RemoteCalls; the snapshot hears where.
absl::Status MapImage(RemoteCalls& calls, int conversation, Snapshot* snapshot);

// Makes a process whose memory is laid out in some other way map what the snapshot says, page for
// page: removes what is new, maps again what is gone, from image and files. With `much` to do it
// prepares for that. `repaired` counts. What the pages hold is not looked at. FailedPrecondition:
// it is not the snapshot's layout even so.
absl::Status RepairLayout(RemoteCalls& calls, const Snapshot& snapshot, pid_t pid, int conversation,
                          bool much, std::uint32_t* repaired);

}  // namespace ncn::rewind
