#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ncn::models {

// A folder of its own for one test, removed afterwards.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "models.XXXXXX").native();
    path_ = ::mkdtemp(name.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path Write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  std::filesystem::path path_;
};

template <typename T>
std::string LittleEndianBytes(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff));
  }
  return bytes;
}

// A zip archive of empty stored files, with the end records for large archives if `large`.
inline std::string ZipFile(const std::vector<std::string>& names, bool large = false,
                           std::string_view comment = "") {
  const auto u16 = [](std::size_t v) { return LittleEndianBytes(static_cast<std::uint16_t>(v)); };
  const auto u32 = [](std::size_t v) { return LittleEndianBytes(static_cast<std::uint32_t>(v)); };
  const auto u64 = [](std::size_t v) { return LittleEndianBytes(static_cast<std::uint64_t>(v)); };
  std::string files;
  std::string directory;
  for (const std::string& name : names) {
    directory += "PK\x01\x02" + std::string(24, '\0') + u16(name.size()) + std::string(12, '\0') +
                 u32(files.size()) + name;
    files += "PK\x03\x04" + std::string(22, '\0') + u16(name.size()) + u16(0) + name;
  }
  std::string end;
  if (large) {
    end += "PK\x06\x06" + u64(44) + std::string(12, '\0') + u64(names.size()) + u64(names.size()) +
           u64(directory.size()) + u64(files.size());
    end += "PK\x06\x07" + u32(0) + u64(files.size() + directory.size()) + u32(1);
  }
  end += "PK\x05\x06" + u32(0) + u16(names.size()) + u16(names.size()) +
         u32(large ? 0xffffffff : directory.size()) + u32(large ? 0xffffffff : files.size()) +
         u16(comment.size());
  return files + directory + end + std::string(comment);
}

inline std::string TorchScriptFile() {
  return ZipFile({"m/data.pkl", "m/constants.pkl", "m/code/__torch__.py", "m/data/0"});
}
inline std::string CheckpointFile() { return ZipFile({"m/data.pkl", "m/data/0"}); }

inline std::string SafetensorsFile(std::string_view header, std::string_view data) {
  return LittleEndianBytes(static_cast<std::uint64_t>(header.size())) + std::string(header) +
         std::string(data);
}
inline std::string SafetensorsFile() {
  return SafetensorsFile(
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} )",
      "01234567");
}

// ir_version 8, a producer, a graph with one node and one output, an operator set.
inline std::string OnnxFile() {
  const std::string graph = std::string("\x0a\x02\x22\x00", 4) + std::string("\x62\x02\x0a\x00", 4);
  return std::string("\x08\x08\x12\x02me\x3a", 7) + static_cast<char>(graph.size()) + graph +
         std::string("\x42\x02\x10\x11", 4);
}

}  // namespace ncn::models
