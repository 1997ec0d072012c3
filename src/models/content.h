#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/model_format.h"

namespace ncn::models {

// An open regular file of a known size, read at any place. Does not own `fd`. What is in it may be
// hostile, and it may shrink meanwhile: then a read is short.
class FileView {
 public:
  FileView(int fd, std::uint64_t size_bytes) : fd_(fd), size_bytes_(size_bytes) {}

  std::uint64_t size_bytes() const { return size_bytes_; }
  // At most `bytes` bytes from `offset`; fewer at the end of the file or when it cannot be read.
  std::string Read(std::uint64_t offset, std::size_t bytes) const;

 private:
  const int fd_;
  const std::uint64_t size_bytes_;
};

// Nothing: the content is of another format. Otherwise its format, or DataLoss (damaged) or
// InvalidArgument (of the format, but no model) with a message that completes "its content is …".
using Recognition = std::optional<absl::StatusOr<ModelFormat>>;

Recognition RecognizeTorch(const FileView& file);        // TorchScript archives and checkpoints.
Recognition RecognizeSafetensors(const FileView& file);  // The header, and that the data is whole.
Recognition RecognizeOnnx(const FileView& file);         // The outer fields of the ModelProto.

// A little-endian number of sizeof(T) bytes at `offset` of `bytes`, which must reach that far.
template <typename T>
T LittleEndian(std::string_view bytes, std::size_t offset) {
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) {
    value = static_cast<T>(value << 8 | static_cast<unsigned char>(bytes[offset + i]));
  }
  return value;
}

}  // namespace ncn::models
