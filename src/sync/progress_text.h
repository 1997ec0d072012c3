#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "transfer/progress.h"

namespace ncn::sync {

// "0 B", "512 B", "1.5 KiB", "7.2 GiB".
std::string BytesText(std::uint64_t bytes);

// For a log: "1.2 of 4.0 GiB (30 %), 85.0 MiB/s, 34 s left".
std::string ProgressLine(const transfer::FileProgress& progress);

// For a terminal of `width` columns: a bar for each file that is on its way, at most `files_max` of
// them, and one for all; nothing while there is nothing to fetch. No line is wider; names are cut.
std::vector<std::string> ProgressBars(const transfer::TransferProgress& progress, std::size_t width,
                                      std::size_t files_max);

}  // namespace ncn::sync
