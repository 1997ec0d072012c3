#pragma once

#include <cstdint>
#include <string>

#include "inference/subnet.h"

namespace ncn::sync {

// Names what a model consists of: SHA-256, in hexadecimal, over its name, format, executor script
// and files with their sizes and hashes. Two versions that differ in name only have the same.
std::string ContentId(const inference::SubnetModel& model);

// The name under which it stands in the models folder: that of its file when it has one only that
// says the model's name (NAME_model.EXT, NAME.EXT), else NAME, a folder.
std::string EntryName(const inference::SubnetModel& model);

// Of all files as they are fetched.
std::uint64_t DownloadBytes(const inference::SubnetModel& model);

// The manifest that says which script executes a model, for one that came without a manifest.
std::string ManifestText(const inference::SubnetModel& model);

}  // namespace ncn::sync
