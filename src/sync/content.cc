#include "sync/content.h"

#include "base/sha256.h"
#include "base/strings.h"
#include "models/model_format.h"

namespace ncn::sync {

std::string ContentId(const inference::SubnetModel& model) {
  // No part can contain a line feed: names and paths have no control characters.
  base::Sha256Hasher hasher;
  hasher.Update(
      base::StrCat(model.model.value(), "\n", model.format, "\n", model.executor_script, "\n"));
  for (const inference::SubnetFile& file : model.files) {
    hasher.Update(base::StrCat(file.path, "\n", file.size_bytes, " ", file.sha256,
                               file.unpack ? " unpack\n" : "\n"));
  }
  return base::AsHex(hasher.Finish());
}

std::string EntryName(const inference::SubnetModel& model) {
  const bool one_file = model.files.size() == 1 && !model.files[0].unpack &&
                        model.executor_script.empty() &&
                        model.files[0].path.find('/') == std::string::npos &&
                        models::ModelNameOf(model.files[0].path) == model.model.value();
  return one_file ? model.files[0].path : model.model.value();
}

std::uint64_t DownloadBytes(const inference::SubnetModel& model) {
  std::uint64_t bytes = 0;
  for (const inference::SubnetFile& file : model.files) bytes += file.size_bytes;
  return bytes;
}

std::string ManifestText(const inference::SubnetModel& model) {
  // A plain file name has no control characters; what TOML gives a meaning is escaped.
  std::string script;
  for (const char c : model.executor_script) {
    if (c == '"' || c == '\\') script += '\\';
    script += c;
  }
  return base::StrCat("# Made when the model was synchronised: its subnet names the script.\n",
                      "[model]\nformat = \"", model.format, "\"\n\n[executor]\nscript = \"", script,
                      "\"\n");
}

}  // namespace ncn::sync
