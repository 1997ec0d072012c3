#pragma once

#include <string>

namespace ncn::inference {

// Bytes with the media type that says how to read them. The types that executors of this project
// understand; any other valid type is passed through to executors that want it.
struct Payload {
  std::string bytes;
  std::string content_type;
};

inline constexpr char kOpenInferenceJson[] = "application/json";
inline constexpr char kSafetensors[] = "application/x-safetensors";
inline constexpr char kOctetStream[] = "application/octet-stream";

}  // namespace ncn::inference
