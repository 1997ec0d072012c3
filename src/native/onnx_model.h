#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/manifest.h"
#include "native/input_check.h"
#include "native/onnx_session.h"
#include "native/payload.h"
#include "native/report.h"

namespace ncn::native {

// What a model in a sandbox is: a session, and what its manifest adds. Answers as
// generic_model_executor.py does. Not thread-safe.
class OnnxModel {
 public:
  // Loads `file`; a model.toml beside it that names no other file is its manifest. Fills
  // `measurements` with the step "load" and the versions.
  static Result<OnnxModel> Load(const OnnxRuntime& runtime, const std::filesystem::path& file,
                                std::uint32_t threads, Measurements& measurements);

  // Answers one request, bounded. Adds the steps "decode", "infer", "encode" and "run".
  Result<Response> Run(const Request& request, Measurements& measurements) const;

  // Computes on zeros of the shapes that the model declares; where a dimension may have any size,
  // it is 1. A full warm-up reads them from a request and writes an answer, too. False when too
  // little is declared, or too much.
  Result<bool> WarmUp(bool full) const;
  // A request of the type kExampleType that gives such zeros; empty when too little is declared, or
  // too much.
  std::string Example() const;
  static constexpr char kExampleType[] = "application/json";

 private:
  OnnxModel(OnnxSession session, models::Manifest manifest, std::string name)
      : session_(std::move(session)), manifest_(std::move(manifest)), name_(std::move(name)) {}

  // Whether manifest and model agree, before and after a run.
  std::optional<ExecutorError> Agree(const std::filesystem::path& file);
  std::optional<ExecutorError> Agree(const std::vector<Tensor>& outputs) const;
  // Who is at fault when the model fails with these words.
  ExecutorError RunFailure(const std::string& text) const;
  std::vector<Tensor> MadeUpInputs() const;
  Result<Response> Answer(const Request& request, Measurements& measurements) const;
  Result<OnnxSession::Outputs> Infer(const std::vector<Tensor>& inputs) const;

  OnnxSession session_;
  models::Manifest manifest_;
  std::string name_;
  std::vector<InputSpec> inputs_;
  std::map<std::string, std::vector<std::string>> labels_;  // By output.
};

}  // namespace ncn::native
