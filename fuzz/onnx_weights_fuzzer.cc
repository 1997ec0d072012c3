// The search for weights that are not numbers: what it counts is in the file.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "native/onnx_weights.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto external = [&](std::string_view, std::uint64_t offset, std::uint64_t length) {
    return offset > bytes.size() ? std::string_view() : bytes.substr(offset, length);
  };
  const auto found = ncn::native::FindNan(bytes, external);
  if (found && (found->nan_count > found->count || found->count < 2)) std::abort();
  return 0;
}
