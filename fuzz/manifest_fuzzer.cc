// Any text as model.toml: refused with a short, printable message, or within all bounds.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "models/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ncn::models::Manifest;
  const absl::StatusOr<Manifest> manifest =
      ncn::models::ParseManifest({reinterpret_cast<const char*>(data), size});
  if (!manifest.ok()) {
    NCN_CHECK(absl::IsInvalidArgument(manifest.status()));
    NCN_CHECK(manifest.status().message().size() < 4096);
    return 0;
  }
  for (const std::string& name : {manifest->file, manifest->executor_script}) {
    NCN_CHECK(name.find('/') == std::string::npos && !name.starts_with('.') && name.size() <= 256);
  }
  for (const auto& [path, hash] : manifest->hashes) {
    NCN_CHECK(hash.size() == 64 && !path.starts_with('/') && !path.empty());
    NCN_CHECK(("/" + path + "/").find("/../") == std::string::npos);
  }
  for (const auto* tensors : {&manifest->inputs, &manifest->outputs}) {
    NCN_CHECK(tensors->size() <= 256);
    for (const ncn::models::TensorSpec& tensor : *tensors) {
      NCN_CHECK(!tensor.name.empty());
      if (tensor.shape) NCN_CHECK(tensor.shape->size() <= 16);
      if (tensor.preprocess)
        NCN_CHECK(tensor.preprocess->height > 0 && tensor.preprocess->width > 0);
    }
  }
  if (manifest->timeout) NCN_CHECK(manifest->timeout->count() > 0);
  if (manifest->memory_bytes) NCN_CHECK(*manifest->memory_bytes > 0);
  return 0;
}
