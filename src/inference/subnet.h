#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/model_id.h"

namespace ncn::inference {

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

}  // namespace ncn::inference
