#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "models/model_format.h"

namespace ncn::models {

inline constexpr char kManifestFileName[] = "model.toml";
inline constexpr std::size_t kManifestBytesMax = 256 * 1024;

// How an executor makes a tensor of an image: value = (pixel * scale - mean) / std.
struct ImagePreprocess {
  std::string color = "RGB";  // "L" or "RGB".
  int height = 0;
  int width = 0;
  double scale = 1.0;              // On pixels from 0 to 255.
  std::vector<double> mean = {0};  // One number per channel, or one for all.
  std::vector<double> std = {1};
  std::string layout = "NCHW";  // Or "NHWC".
  bool invert = false;          // Replaces each pixel by 255 minus it, before all else.
};

// How an executor makes a tensor of samples from -1 to 1 of a sound.
struct AudioPreprocess {
  int sample_rate = 0;         // In Hz; other rates are resampled.
  int channels = 1;            // 1 takes the mean of all.
  std::int64_t samples = 0;    // Cut, or filled with silence, to so many; 0 keeps what there is.
  int seconds_max = 600;       // Longer sounds are refused.
  std::string layout = "NCT";  // Or "NT" or "T", which have one channel.
};

// One input or output tensor.
struct TensorSpec {
  std::string name;
  std::string datatype;                            // Of the Open Inference Protocol; empty: any.
  std::optional<std::vector<std::int64_t>> shape;  // A dimension of -1 is any.
  bool optional = false;                           // Inputs: a request may leave it out.
  bool allow_empty = false;                        // Inputs: a tensor without elements will do.
  bool allow_non_finite = false;                   // Inputs: NaN and infinities are accepted.
  std::optional<double> minimum;                   // Inputs: elements may not be below it,
  std::optional<double> maximum;                   // nor above this.
  std::optional<ImagePreprocess> preprocess;       // Inputs that may come as an image.
  std::optional<AudioPreprocess> audio;            // Inputs that may come as a sound.
  std::vector<std::string> labels;                 // Outputs: what each index means.
};

// A checked model.toml. Everything in it is optional; the default stands for none.
struct Manifest {
  std::string name;
  std::string version;
  std::optional<ModelFormat> format;
  std::string file;  // The model's file: a plain name within the folder.
  std::string license;
  std::string description;
  std::string executor_script;  // A plain file name within the folder; empty: the node chooses.
  std::string architecture;     // For weights without code; its parameters are the executor's.
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::string warm_up_input;  // A plain file name within the folder: the request to warm up with.
  std::string warm_up_type;   // Its media type; empty: as its first bytes look.
  std::optional<std::chrono::seconds> timeout;  // At most what the node allows.
  std::optional<std::uint64_t> memory_bytes;    // As limits.memory_mb, in bytes.
  std::map<std::string, std::string> hashes;    // Relative path -> SHA-256, lower-case hex.
};

// Reads the text of a manifest, which is untrusted. An unknown key is an error, for a misspelt key
// would be a setting that silently does not hold. InvalidArgument names the key (or the line, when
// the text is not TOML), what was expected and what was found. Thread-safe.
absl::StatusOr<Manifest> ParseManifest(std::string_view text);

}  // namespace ncn::models
