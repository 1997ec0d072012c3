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
  // `measurements` with the step "load" and the versions. With `check_weights`, refuses weights
  // that are not numbers; not needed again for a file that was found sound.
  static Result<OnnxModel> Load(const OnnxRuntime& runtime, const std::filesystem::path& file,
                                std::uint32_t threads, bool check_weights,
                                Measurements& measurements);

  // Answers one request, bounded. Adds the steps "decode", "infer", "encode" and "run".
  Result<Response> Run(const Request& request, Measurements& measurements) const;

  // Answers the request that the manifest names. Without one it computes on zeros, and ones where
  // numbers are whole, of the shapes that the model declares, where a dimension of any size is 1; a
  // full warm-up reads them from a request and writes an answer, too. False when too little is
  // declared, or too much.
  Result<bool> WarmUp(bool full) const;
  // A request that can be answered: the one that the manifest names, else one that gives such
  // numbers; without data when too little is declared, or too much.
  struct Sample {
    std::string data;
    std::string content_type;
  };
  Sample Example() const;

 private:
  OnnxModel(OnnxSession session, models::Manifest manifest, std::string name,
            std::filesystem::path folder)
      : session_(std::move(session)),
        manifest_(std::move(manifest)),
        name_(std::move(name)),
        folder_(std::move(folder)) {}

  // Whether manifest and model agree, before and after a run.
  std::optional<ExecutorError> Agree(const std::filesystem::path& file);
  std::optional<ExecutorError> Agree(const std::vector<Tensor>& outputs) const;
  // Who is at fault when the model fails with these words.
  ExecutorError RunFailure(const std::string& text) const;
  Sample NamedSample() const;  // By the manifest; without data where there is none.
  std::vector<Tensor> MadeUpInputs() const;
  Result<Response> Answer(const Request& request, Measurements& measurements) const;
  Result<OnnxSession::Outputs> Infer(const std::vector<Tensor>& inputs) const;

  OnnxSession session_;
  models::Manifest manifest_;
  std::string name_;
  std::filesystem::path folder_;  // Where the model is, and what the manifest names.
  std::vector<InputSpec> inputs_;
  std::map<std::string, std::vector<std::string>> labels_;  // By output.
};

}  // namespace ncn::native
