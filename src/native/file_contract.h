#pragma once

#include <filesystem>
#include <string>

#include "native/onnx_runtime.h"

namespace ncn::native {

// What a process that answers one request is called with.
struct FileContract {
  std::filesystem::path model;
  std::filesystem::path input;
  std::filesystem::path output;
};

// Loads, runs and answers once; the answer and OUTPUT.report.json appear by rename. What the
// environment says about the request stands in python_executors/README.md. Returns the exit status:
// 0 answered, 1 failed.
int RunFileContract(const std::string& library, const FileContract& contract);

}  // namespace ncn::native
