#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ncn::sandbox {

// The memory of a sandbox without a control group: the private memory of all processes below
// `init_pid`, plus what the tmpfs behind `work_folder` holds (-1: there is none). Pages that
// processes share count as often as processes have them, so this is never too low.
std::uint64_t MeasureTreeMemory(pid_t init_pid, int work_folder);

}  // namespace ncn::sandbox
