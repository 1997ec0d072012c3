#pragma once

#include <filesystem>
#include <vector>

#include "transfer/range_reader.h"

namespace ncn::transfer {

// Reads a range of a file of this machine, if it lies below one of `folders`, through no symbolic
// link from there on, is regular and of the promised size.
ReadEnd ReadFileRange(const std::string& path, const std::vector<std::filesystem::path>& folders,
                      const RangeRequest& request, const ByteSink& sink,
                      const std::stop_token& stop);

}  // namespace ncn::transfer
