#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "inference/model_id.h"

namespace ncn::inference {

// Bounds of a subnet's metadata.
inline constexpr std::size_t kSubnetMetadataBytesMax = 16 << 20;  // As a message.
inline constexpr std::size_t kSubnetModelsMax = 10000;
inline constexpr std::size_t kModelFilesMax = 1000;
inline constexpr std::size_t kFileSourcesMax = 16;
inline constexpr std::size_t kSourceBytesMax = 2048;
inline constexpr std::size_t kFilePathBytesMax = 512;
inline constexpr std::size_t kFilePathDepthMax = 8;  // Components.
inline constexpr std::uint64_t kFileBytesMax = 1ULL << 40;

// A file that a subnet's nodes need for a model.
struct SubnetFile {
  std::string path;  // Relative to the model's folder: plain components, no "..", no hidden ones.
  std::uint64_t size_bytes = 0;
  std::string sha256;                // Lower-case hex.
  std::vector<std::string> sources;  // Addresses to get it from, the best first.
  bool unpack = false;  // It is a tar.gz or zip archive whose contents belong beside its path.
};

// A model that a subnet's nodes shall execute.
struct SubnetModel {
  ModelId model;
  std::string version;
  std::string format;             // torchscript, checkpoint, onnx or safetensors.
  std::vector<SubnetFile> files;  // The first is the model, or the archive that holds it.
  std::string executor_script;    // A plain name in the model's folder; empty: the node chooses.
  std::uint64_t memory_bytes_min = 0;  // 0: not stated.
};

// A group of nodes that execute the same models.
struct Subnet {
  std::uint32_t subnet_id = 0;  // At least 1.
  std::string name;
  std::string owner_address;  // EIP-55.
  std::uint64_t version = 0;  // 1 when it is created, one more with every change.
  std::vector<SubnetModel> models;
  std::string owner_signature;  // 65 bytes, or empty: nobody vouches for it.
};

// A relative path of plain, visible components: no "..", none that begins with a dot, no backslash
// or control character, valid UTF-8, within the bounds above. InvalidArgument says which rule
// `path` breaks.
absl::Status CheckFilePath(std::string_view path);

// 64 lower-case hexadecimal digits.
bool IsSha256(std::string_view text);

// The digits of an address, without its checksum, which is for signing/address.h: "0x" and 40
// hexadecimal digits.
bool IsAddressForm(std::string_view text);

// Everything that can be said of the metadata by itself: the bounds above, names, paths that do not
// get in each other's way, hashes, formats, each model's name once. Whether the signature is good
// is for signing/subnet_signature.h. InvalidArgument names model and field, what was expected and
// what was found.
absl::Status Validate(const Subnet& subnet);

}  // namespace ncn::inference
