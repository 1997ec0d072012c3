#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

namespace ncn::models {

enum class ModelFormat {
  kTorchScript,      // The zip archive of torch.jit.save: code and weights.
  kTorchCheckpoint,  // torch.save: weights as a pickle, in a zip archive or (old) bare.
  kOnnx,
  kSafetensors,
};

// "torchscript", "checkpoint", "onnx", "safetensors": the words of a manifest.
std::string_view Name(ModelFormat format);
std::optional<ModelFormat> ModelFormatFromName(std::string_view name);
// For messages: "a TorchScript archive" and so on.
std::string_view Description(ModelFormat format);

// The extensions of files that hold models.
inline constexpr std::array<std::string_view, 4> kModelFileExtensions = {".pt", ".pth", ".onnx",
                                                                         ".safetensors"};

// NAME of a file NAME_model.EXT or NAME.EXT; empty when the file has none of the extensions, no
// name, or a hidden one.
std::string_view ModelNameOf(std::string_view file_name);

// Whether a file of this format may have this name: what its extension promises, if anything.
bool FitsName(ModelFormat format, std::string_view file_name);

// The format of the open regular file `fd` by its content, which is untrusted: reads are bounded,
// nothing in it is executed. A known extension of `file_name` must agree with what was found.
//   InvalidArgument  empty, of no known format, or of another than the extension promises
//   DataLoss         of a known format, but truncated or damaged
// Each message begins with `file_name` and says what was promised, what was found, what to do.
// The file's offset does not matter and stays. Thread-safe.
absl::StatusOr<ModelFormat> DetectFormat(int fd, std::string_view file_name);

absl::StatusOr<ModelFormat> DetectFormat(const std::filesystem::path& file);

}  // namespace ncn::models
