#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "base/sha256.h"

namespace ncn::sync {

// For tests of this room.

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = std::filesystem::temp_directory_path() / "ncn-sync-XXXXXX";
    path_ = ::mkdtemp(path.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void WriteFile(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline std::string ReadAllOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string Sha256Hex(const std::string& bytes) { return base::AsHex(base::Sha256(bytes)); }

// A genuine safetensors file with one tensor of `seed`s.
inline std::string SafetensorsOf(int seed, std::size_t elements = 4) {
  std::string header = "{\"x\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(elements) +
                       "],\"data_offsets\":[0," + std::to_string(elements) + "]}}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  return file + header + std::string(elements, static_cast<char>(seed));
}

}  // namespace ncn::sync
