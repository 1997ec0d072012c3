#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace ncn::executors {

// Where a sandbox sees the virtual environment. Python finds what belongs to one from where its
// interpreter is, so it may be elsewhere than it was made.
inline constexpr char kVenvInside[] = "/venv";

// What executors run on: a root file system and what is in it. Immutable.
struct RuntimeEnvironment {
  std::filesystem::path root;  // The sandbox's root; "/" with a virtual environment.
  std::filesystem::path venv;  // A virtual environment to bind beside it; empty with an image.
  std::string python;          // The interpreter, as the sandbox sees it.
  std::string onnxruntime;     // The shared library ONNX Runtime, the same; empty without one.
  std::string digest;          // Of the image, "sha256:…"; empty with a virtual environment.

  // The virtual environment `executors_path`/venv when it is there, as the specification has it;
  // otherwise the root file system `image`. NotFound says how to make either.
  static absl::StatusOr<RuntimeEnvironment> Locate(const std::filesystem::path& executors_path,
                                                   const std::filesystem::path& image);
};

}  // namespace ncn::executors
