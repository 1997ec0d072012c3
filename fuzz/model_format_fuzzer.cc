// Any bytes as a model file: of one format, or refused for what they are.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/files.h"
#include "models/model_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ncn::models::ModelFormat;
  const absl::StatusOr<ncn::base::UniqueFd> fd =
      ncn::base::SealedMemory("fuzz", {reinterpret_cast<const char*>(data), size});
  NCN_CHECK(fd.ok());
  const absl::StatusOr<ModelFormat> bare = ncn::models::DetectFormat(fd->get(), "model");
  NCN_CHECK(bare.ok() || absl::IsInvalidArgument(bare.status()) || absl::IsDataLoss(bare.status()));
  NCN_CHECK(bare.status().message().size() < 4096);
  int accepted = 0;
  for (const std::string_view extension : ncn::models::kModelFileExtensions) {
    const absl::StatusOr<ModelFormat> named =
        ncn::models::DetectFormat(fd->get(), "model" + std::string(extension));
    if (!named.ok()) continue;
    ++accepted;
    NCN_CHECK(bare.ok() && *named == *bare);
  }
  // Both extensions of PyTorch go with its two formats; the others with one each.
  const bool is_torch =
      bare.ok() && (*bare == ModelFormat::kTorchScript || *bare == ModelFormat::kTorchCheckpoint);
  NCN_CHECK(accepted == (is_torch ? 2 : bare.ok() ? 1 : 0));
  return 0;
}
