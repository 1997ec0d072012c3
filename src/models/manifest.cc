#include "models/manifest.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "models/toml_table.h"

namespace ncn::models {
namespace {

constexpr std::size_t kTensorsMax = 256;
constexpr std::size_t kRankMax = 16;
constexpr std::size_t kTextBytesMax = 256;  // Of names and versions, which are shown.
constexpr std::int64_t kDimensionMax = std::int64_t{1} << 40;
constexpr std::int64_t kImageSideMax = 16384;
constexpr std::int64_t kSampleRateMax = 768'000;
constexpr std::int64_t kChannelsMax = 8;
constexpr std::int64_t kSoundSecondsMax = 3600;
constexpr std::int64_t kTimeoutSecsMax = 86400;
constexpr std::int64_t kMemoryMbMax = std::int64_t{1} << 22;

constexpr std::array<std::string_view, 8> kTopKeys = {
    "model", "executor", "architecture", "inputs", "outputs", "limits", "warm_up", "hashes"};
constexpr std::array<std::string_view, 6> kModelKeys = {"name", "version", "format",
                                                        "file", "license", "description"};
constexpr std::array<std::string_view, 1> kExecutorKeys = {"script"};
constexpr std::array<std::string_view, 2> kLimitsKeys = {"timeout_secs", "memory_mb"};
constexpr std::array<std::string_view, 2> kWarmUpKeys = {"input", "content_type"};
constexpr std::array<std::string_view, 9> kInputKeys = {
    "name",    "datatype", "shape",     "optional", "allow_empty", "allow_non_finite",
    "minimum", "maximum",  "preprocess"};
constexpr std::array<std::string_view, 4> kOutputKeys = {"name", "datatype", "shape", "labels"};
constexpr std::array<std::string_view, 8> kImageKeys = {"kind", "color", "size",   "scale",
                                                        "mean", "std",   "layout", "invert"};
constexpr std::array<std::string_view, 6> kAudioKeys = {"kind",    "sample_rate", "channels",
                                                        "samples", "seconds_max", "layout"};
constexpr std::array<std::string_view, 4> kFormats = {"torchscript", "checkpoint", "onnx",
                                                      "safetensors"};
constexpr std::array<std::string_view, 18> kDatatypes = {
    "BOOL",   "INT8",   "INT16",     "INT32",       "INT64",   "UINT8",
    "UINT16", "UINT32", "UINT64",    "FP16",        "FP32",    "FP64",
    "BYTES",  "BF16",   "FP8E4M3FN", "FP8E4M3FNUZ", "FP8E5M2", "FP8E5M2FNUZ"};
constexpr std::array<std::string_view, 2> kKinds = {"image", "audio"};
constexpr std::array<std::string_view, 2> kColors = {"L", "RGB"};
constexpr std::array<std::string_view, 2> kLayouts = {"NCHW", "NHWC"};
constexpr std::array<std::string_view, 3> kSoundLayouts = {"NCT", "NT", "T"};

// A text of one line that fits into messages and logs.
std::string ShortText(const TomlTable& table, std::string_view key) {
  std::string text = table.Text(key);
  const bool printable = std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (!printable || text.size() > kTextBytesMax) {
    table.Wrong(key, base::StrCat("a line of at most ", kTextBytesMax, " printable bytes"), text);
  }
  return text;
}

// A file within the folder, never a way out of it.
std::string PlainFileName(const TomlTable& table, std::string_view key) {
  std::string name = ShortText(table, key);
  if (name.starts_with('.') || name.find('/') != std::string::npos) {
    table.Wrong(key, "the plain name of a file in the model's folder", name);
  }
  return name;
}

bool IsRelativePath(std::string_view path) {
  if (path.empty() || path.size() > 4096 || path.find('\0') != std::string_view::npos) return false;
  for (const absl::string_view component : absl::StrSplit(base::ToAbsl(path), '/')) {
    if (component.empty() || component == "." || component == "..") return false;
  }
  return true;
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::vector<double> PerChannel(const TomlTable& table, std::string_view key, double fallback,
                               std::size_t channels) {
  std::vector<double> numbers = table.Numbers(key, {fallback});
  if (numbers.size() != 1 && numbers.size() != channels) {
    table.Wrong(key, base::StrCat("1 or ", channels, " numbers"),
                base::StrCat(numbers.size(), " numbers"));
  }
  return numbers;
}

ImagePreprocess ReadImage(const TomlTable& table) {
  table.AllowOnly(kImageKeys);
  ImagePreprocess image;
  image.color = table.Choice("color", kColors, image.color);
  const std::vector<std::int64_t> size = table.Integers("size", 2, 1, kImageSideMax);
  if (size.size() == 2) {
    image.height = static_cast<int>(size[0]);
    image.width = static_cast<int>(size[1]);
  } else {
    table.Wrong("size", "[height, width]", base::StrCat(size.size(), " numbers"));
  }
  const std::size_t channels = image.color == "L" ? 1 : 3;
  image.scale = table.Number("scale", image.scale);
  image.mean = PerChannel(table, "mean", 0, channels);
  image.std = PerChannel(table, "std", 1, channels);
  if (std::count(image.std.begin(), image.std.end(), 0.0) != 0) {
    table.Wrong("std", "numbers to divide by", "0");
  }
  image.layout = table.Choice("layout", kLayouts, image.layout);
  image.invert = table.Flag("invert");
  return image;
}

AudioPreprocess ReadAudio(const TomlTable& table) {
  table.AllowOnly(kAudioKeys);
  AudioPreprocess audio;
  const auto number = [&](std::string_view key, std::int64_t low, std::int64_t high, int fallback) {
    return static_cast<int>(table.Integer(key, low, high, fallback));
  };
  audio.sample_rate = number("sample_rate", 1, kSampleRateMax, 0);
  if (audio.sample_rate == 0) table.Wrong("sample_rate", "samples a second", "");
  audio.channels = number("channels", 1, kChannelsMax, 1);
  audio.samples = table.Integer("samples", 0, kSampleRateMax * kSoundSecondsMax, 0);
  audio.seconds_max = number("seconds_max", 1, kSoundSecondsMax, audio.seconds_max);
  audio.layout = table.Choice("layout", kSoundLayouts, audio.layout);
  if (audio.channels > 1 && audio.layout != "NCT") {
    table.Wrong("layout", base::StrCat("NCT for ", audio.channels, " channels"), audio.layout);
  }
  return audio;
}

void ReadPreprocess(const TomlTable& table, TensorSpec& tensor) {
  if (table.Choice("kind", kKinds, "image") == "image") {
    tensor.preprocess = ReadImage(table);
  } else {
    tensor.audio = ReadAudio(table);
  }
}

void ReadRange(const TomlTable& table, TensorSpec& tensor) {
  if (table.Has("minimum")) tensor.minimum = table.Number("minimum", 0);
  if (table.Has("maximum")) tensor.maximum = table.Number("maximum", 0);
  if (tensor.minimum && tensor.maximum && *tensor.minimum > *tensor.maximum) {
    table.Wrong("maximum", "at least the minimum", "less");
  }
}

TensorSpec ReadTensor(const TomlTable& table) {
  TensorSpec tensor = {.name = ShortText(table, "name"),
                       .datatype = table.Choice("datatype", kDatatypes, ""),
                       .optional = table.Flag("optional"),
                       .allow_empty = table.Flag("allow_empty"),
                       .allow_non_finite = table.Flag("allow_non_finite"),
                       .labels = table.Texts("labels")};
  if (tensor.name.empty()) table.Wrong("name", "the tensor's name", "");
  if (table.Has("shape")) tensor.shape = table.Integers("shape", kRankMax, -1, kDimensionMax);
  ReadRange(table, tensor);
  if (table.Has("preprocess")) ReadPreprocess(table.Table("preprocess"), tensor);
  return tensor;
}

std::vector<TensorSpec> ReadTensors(const TomlTable& top, std::string_view key,
                                    std::span<const std::string_view> known) {
  std::vector<TensorSpec> tensors;
  for (const TomlTable& table : top.Tables(key, kTensorsMax)) {
    table.AllowOnly(known);
    tensors.push_back(ReadTensor(table));
    const auto same_name = [&](const TensorSpec& t) { return t.name == tensors.back().name; };
    if (std::count_if(tensors.begin(), tensors.end(), same_name) > 1) {
      table.Wrong("name", "a name of its own", tensors.back().name);
    }
  }
  return tensors;
}

void ReadLimits(const TomlTable& table, Manifest& manifest) {
  table.AllowOnly(kLimitsKeys);
  if (table.Has("timeout_secs")) {
    manifest.timeout = std::chrono::seconds(table.Integer("timeout_secs", 1, kTimeoutSecsMax, 1));
  }
  if (table.Has("memory_mb")) {
    manifest.memory_bytes =
        static_cast<std::uint64_t>(table.Integer("memory_mb", 1, kMemoryMbMax, 1)) << 20;
  }
}

void ReadWarmUp(const TomlTable& table, Manifest& manifest) {
  table.AllowOnly(kWarmUpKeys);
  manifest.warm_up_input = PlainFileName(table, "input");
  manifest.warm_up_type = ShortText(table, "content_type");
  if (!manifest.warm_up_type.empty() && manifest.warm_up_input.empty()) {
    table.Wrong("input", "a file in the model's folder", "");
  }
}

std::map<std::string, std::string> ReadHashes(const TomlTable& table) {
  std::map<std::string, std::string> hashes;
  if (table.table() == nullptr) return hashes;
  for (const auto& [key, value] : *table.table()) {
    const std::string hash = table.Text(key.str());
    if (!IsRelativePath(key.str())) {
      table.Wrong(key.str(), "the relative path of a file in the model's folder", key.str());
    }
    if (!IsSha256(hash)) table.Wrong(key.str(), "a SHA-256 of 64 lower-case hex digits", hash);
    hashes.emplace(key.str(), hash);
  }
  return hashes;
}

Manifest ReadManifest(const TomlTable& top) {
  top.AllowOnly(kTopKeys);
  Manifest manifest;
  const TomlTable model = top.Table("model");
  model.AllowOnly(kModelKeys);
  manifest.name = ShortText(model, "name");
  manifest.version = ShortText(model, "version");
  manifest.format = ModelFormatFromName(model.Choice("format", kFormats, ""));
  manifest.file = PlainFileName(model, "file");
  manifest.license = model.Text("license");
  manifest.description = model.Text("description");
  const TomlTable executor = top.Table("executor");
  executor.AllowOnly(kExecutorKeys);
  manifest.executor_script = PlainFileName(executor, "script");
  manifest.architecture = ShortText(top.Table("architecture"), "name");
  manifest.inputs = ReadTensors(top, "inputs", kInputKeys);
  manifest.outputs = ReadTensors(top, "outputs", kOutputKeys);
  ReadLimits(top.Table("limits"), manifest);
  ReadWarmUp(top.Table("warm_up"), manifest);
  manifest.hashes = ReadHashes(top.Table("hashes"));
  return manifest;
}

}  // namespace

absl::StatusOr<Manifest> ParseManifest(std::string_view text) {
  if (text.size() > kManifestBytesMax) {
    return absl::InvalidArgumentError(base::StrCat(kManifestFileName, ": has ", text.size(),
                                                   " bytes; at most ", kManifestBytesMax,
                                                   " are allowed"));
  }
  const absl::StatusOr<toml::table> document = ParseToml(text);
  absl::Status status = document.status();
  Manifest manifest;
  if (document.ok()) manifest = ReadManifest(TomlTable(&*document, "", status));
  if (status.ok()) return manifest;
  return absl::InvalidArgumentError(base::StrCat(kManifestFileName, ": ", status.message()));
}

}  // namespace ncn::models
