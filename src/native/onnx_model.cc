#include "native/onnx_model.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "native/json_writer.h"
#include "native/onnx_weights.h"
#include "native/open_inference.h"

namespace ncn::native {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kWarmUpBytesMax = 64 << 20;  // Of one input.
// JSON takes long to read; beyond this, a request has another form.
constexpr std::uint64_t kJsonElementsMax = 65536;
constexpr std::size_t kFoundCharactersMax = 200;

// The manifest of a model file; the default where there is none.
Result<models::Manifest> ReadManifest(const fs::path& file) {
  const auto text =
      base::ReadFile(file.parent_path() / models::kManifestFileName, models::kManifestBytesMax);
  if (absl::IsNotFound(text.status())) return models::Manifest();
  const auto manifest = text.ok() ? models::ParseManifest(*text) : text.status();
  if (!manifest.ok()) {
    return ExecutorError{.code = ErrorCode::kInvalidManifest,
                         .message = std::string(manifest.status().message()),
                         .path = models::kManifestFileName};
  }
  // Beside a flat collection of models, the manifest is another model's.
  const bool own = manifest->file.empty() || manifest->file == file.filename();
  return own ? *manifest : models::Manifest();
}

std::string NameOf(const models::Manifest& manifest, const fs::path& file) {
  if (!manifest.name.empty()) return manifest.name;
  constexpr std::string_view kSuffix = "_model";
  std::string stem = file.stem().native();
  if (stem.ends_with(kSuffix)) stem.resize(stem.size() - kSuffix.size());
  return stem;
}

// A manifest that says other things than the model is of no use.
std::optional<ExecutorError> CheckManifest(const fs::path& file, const std::string& kind,
                                           const std::vector<models::TensorSpec>& specs,
                                           const std::vector<OnnxSession::Node>& nodes) {
  const auto contradiction = [&](std::string field, std::string expected, std::string found) {
    return ExecutorError{.code = ErrorCode::kInvalidModel,
                         .message = base::StrCat("the ", kind, " of ", file.filename().native(),
                                                 " are not those of its manifest"),
                         .field = std::move(field),
                         .expected = std::move(expected),
                         .found = std::move(found),
                         .path = file.native()};
  };
  if (specs.empty()) return std::nullopt;
  std::set<std::string_view> wanted, found;
  std::vector<std::string_view> wanted_names, found_names;
  for (const auto& spec : specs) wanted_names.push_back(*wanted.insert(spec.name).first);
  for (const auto& node : nodes) found_names.push_back(*found.insert(node.name).first);
  if (wanted != found) return contradiction(kind, JoinNames(wanted_names), JoinNames(found_names));
  for (const models::TensorSpec& spec : specs) {
    const auto node = std::find_if(nodes.begin(), nodes.end(),
                                   [&](const auto& one) { return one.name == spec.name; });
    const std::string field = base::StrCat(kind, ".", spec.name);
    if (!spec.datatype.empty() && spec.datatype != Name(node->datatype)) {
      return contradiction(field + ".datatype", spec.datatype, std::string(Name(node->datatype)));
    }
    if (spec.shape && node->shape && !ShapesFit(*spec.shape, *node->shape)) {
      return contradiction(field + ".shape", ShapeText(*spec.shape), ShapeText(*node->shape));
    }
  }
  return std::nullopt;
}

template <typename Number>
void Fill(char* bytes, std::uint64_t count, Number value) {
  for (std::uint64_t i = 0; i < count; ++i) {
    std::memcpy(bytes + i * sizeof(value), &value, sizeof(value));
  }
}

// Numbers with as many digits as requests have, zeros where they are narrow, ones where they are
// whole, or empty texts; nothing when there would be too many. Division by a whole zero would end
// the process.
std::optional<Tensor> MadeUp(const InputSpec& spec) {
  if (!spec.shape) return std::nullopt;
  Tensor tensor{.name = spec.name, .datatype = spec.datatype, .shape = *spec.shape};
  for (std::int64_t& dimension : tensor.shape) dimension = dimension < 0 ? 1 : dimension;
  const std::size_t size = std::max<std::size_t>(1, SizeOf(spec.datatype));
  const auto count = CountElements(tensor.shape, kWarmUpBytesMax / size);
  if (!count) return std::nullopt;
  if (spec.datatype == Datatype::kBytes) {
    tensor.texts.resize(*count);
  } else {
    char* const bytes = tensor.Allocate(*count * size);
    std::memset(bytes, 0, *count * size);
    const bool whole = Name(spec.datatype).find("INT") != std::string_view::npos;
    // The least byte of each element comes first.
    for (std::uint64_t i = 0; whole && i < *count; ++i) bytes[i * size] = 1;
    if (spec.datatype == Datatype::kFp32) Fill(bytes, *count, 0.12345679F);
    if (spec.datatype == Datatype::kFp64) Fill(bytes, *count, 0.12345679);
  }
  return tensor;
}

// A request that gives such inputs.
std::string MadeUpRequest(const std::vector<Tensor>& inputs) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& input : inputs) pointers.push_back(&input);
  const auto answer = EncodeOpenInference(pointers, {}, {});
  if (!answer.ok()) return "";
  const std::size_t list = answer->find("\"outputs\":") + std::strlen("\"outputs\"");
  return R"({"id":"made-up","inputs")" + answer->substr(list);
}

}  // namespace

Result<OnnxModel> OnnxModel::Load(const OnnxRuntime& runtime, const fs::path& file,
                                  std::uint32_t threads, bool check_weights,
                                  Measurements& measurements) {
  const Timed timed(measurements, "load");
  measurements.versions = {{"onnxruntime", runtime.version()}};
  ASSIGN_OR_RETURN(models::Manifest manifest, ReadManifest(file));
  for (const models::TensorSpec& input : manifest.inputs) {
    if (!input.preprocess) continue;
    return ExecutorError{.code = ErrorCode::kUnsupportedModel,
                         .message = "the model takes images, which this executor does not decode",
                         .field = base::StrCat("inputs.", input.name, ".preprocess")};
  }
  ASSIGN_OR_RETURN(OnnxSession session, OnnxSession::Load(runtime, file, threads));
  std::string name = NameOf(manifest, file);
  OnnxModel model(std::move(session), std::move(manifest), std::move(name), file.parent_path());
  if (auto error = model.Agree(file)) return *std::move(error);
  if (check_weights) {
    if (auto error = RefuseNan(file)) return *std::move(error);
  }
  return model;
}

std::optional<ExecutorError> OnnxModel::Agree(const fs::path& file) {
  if (auto error = CheckManifest(file, "inputs", manifest_.inputs, session_.inputs())) {
    return error;
  }
  if (auto error = CheckManifest(file, "outputs", manifest_.outputs, session_.outputs())) {
    return error;
  }
  for (const OnnxSession::Node& node : session_.inputs()) {
    InputSpec spec{.name = node.name, .datatype = node.datatype, .shape = node.shape};
    for (const models::TensorSpec& declared : manifest_.inputs) {
      if (declared.name != node.name) continue;
      spec.datatype = DatatypeFromName(declared.datatype).value_or(node.datatype);
      if (declared.shape) spec.shape = declared.shape;
      spec.allow_non_finite = declared.allow_non_finite;
    }
    inputs_.push_back(std::move(spec));
  }
  for (const models::TensorSpec& output : manifest_.outputs) labels_[output.name] = output.labels;
  return std::nullopt;
}

std::optional<ExecutorError> OnnxModel::Agree(const std::vector<Tensor>& outputs) const {
  const auto contradiction = [](std::string field, std::string expected, std::string found) {
    return ExecutorError{.code = ErrorCode::kInvalidModel,
                         .message = "the model is not what its manifest says: " + field,
                         .field = field,
                         .expected = std::move(expected),
                         .found = std::move(found)};
  };
  for (const models::TensorSpec& spec : manifest_.outputs) {
    for (const Tensor& output : outputs) {
      if (output.name != spec.name) continue;
      const std::string field = "outputs." + spec.name;
      if (!spec.datatype.empty() && spec.datatype != Name(output.datatype)) {
        return contradiction(field + ".datatype", spec.datatype,
                             std::string(Name(output.datatype)));
      }
      if (spec.shape && !ShapesFit(*spec.shape, output.shape)) {
        return contradiction(field + ".shape", ShapeText(*spec.shape), ShapeText(output.shape));
      }
    }
  }
  return std::nullopt;
}

ExecutorError OnnxModel::RunFailure(const std::string& text) const {
  const std::string found(Head(text, kFoundCharactersMax));
  if (text.find("index out of range") != text.npos ||
      text.find("out of data bounds") != text.npos) {
    std::vector<std::string> whole;
    for (const InputSpec& input : inputs_) {
      if (Name(input.datatype).find("INT") != std::string_view::npos) whole.push_back(input.name);
    }
    return InvalidInput("an index in the input is out of range: " + text,
                        whole.size() == 1 ? "inputs." + whole[0] + ".data" : "inputs",
                        "indices within the model's tables (a model.toml may say which, as "
                        "minimum and maximum)",
                        found);
  }
  // An input that fits what is declared is not at fault, one for which nothing was probably is.
  const bool declared = !inputs_.empty() &&
                        std::all_of(inputs_.begin(), inputs_.end(),
                                    [](const InputSpec& input) { return input.shape.has_value(); });
  if (declared) {
    return {.code = ErrorCode::kInvalidModel,
            .message = "the model failed on an input that fits its declaration: " + text,
            .field = "model",
            .expected = "an answer",
            .found = found};
  }
  return InvalidInput("the model failed on this input: " + text, "inputs",
                      "what the model takes; it declares no complete shape",
                      "an input that it fails on");
}

Result<OnnxSession::Outputs> OnnxModel::Infer(const std::vector<Tensor>& inputs) const {
  auto outputs = session_.Run(inputs);
  if (outputs.ok()) {
    if (auto error = Agree(outputs->tensors)) return *std::move(error);
    return outputs;
  }
  if (outputs.status().code != ErrorCode::kInvalidModel) return outputs;
  return RunFailure(outputs.status().message);
}

Result<Response> OnnxModel::Answer(const Request& request, Measurements& measurements) const {
  Question question;
  std::string_view form, answer_form;
  {
    const Timed timed(measurements, "decode");
    ASSIGN_OR_RETURN(form, FormOf(request));
    ASSIGN_OR_RETURN(answer_form, AnswerFormOf(request.accept, form));
    ASSIGN_OR_RETURN(question, Decode(request.data, form));
    if (auto error = CheckInputs(inputs_, question.tensors)) return *std::move(error);
  }
  OnnxSession::Outputs outputs;
  {
    const Timed timed(measurements, "infer");
    ASSIGN_OR_RETURN(outputs, Infer(question.tensors));
  }
  const Timed timed(measurements, "encode");
  const AnswerNames names{name_, manifest_.version,
                          question.identifier.empty() ? request.request_id : question.identifier};
  ASSIGN_OR_RETURN(std::string data,
                   Encode(outputs.tensors, question, answer_form, labels_, names));
  return Response{std::move(data), std::string(answer_form)};
}

Result<Response> OnnxModel::Run(const Request& request, Measurements& measurements) const {
  const Timed timed(measurements, "run");
  if (request.data.empty()) {
    return InvalidInput("the input is empty", "input", "JSON or safetensors", "0 bytes");
  }
  auto response = Answer(request, measurements);
  if (response.ok() && response->data.size() > request.output_bytes_max) {
    return ExecutorError{
        .code = ErrorCode::kOutputTooLarge,
        .message =
            "the answer is larger than the request allows: ask for fewer outputs, or raise "
            "the output limit",
        .expected = base::StrCat("at most ", request.output_bytes_max, " bytes"),
        .found = base::StrCat(response->data.size(), " bytes")};
  }
  return response;
}

std::vector<Tensor> OnnxModel::MadeUpInputs() const {
  std::vector<Tensor> inputs;
  for (const InputSpec& spec : inputs_) {
    std::optional<Tensor> tensor = MadeUp(spec);
    if (!tensor) return {};
    inputs.push_back(*std::move(tensor));
  }
  return inputs;
}

OnnxModel::Sample OnnxModel::NamedSample() const {
  if (manifest_.warm_up_input.empty()) return {};
  auto data = base::ReadFile(folder_ / manifest_.warm_up_input, kPayloadBytesMax);
  if (!data.ok()) return {};
  Sample sample{*std::move(data), MediaType(manifest_.warm_up_type)};
  const Request request{.data = sample.data, .content_type = sample.content_type};
  return FormOf(request).ok() ? std::move(sample) : Sample{};
}

OnnxModel::Sample OnnxModel::Example() const {
  if (Sample named = NamedSample(); !named.data.empty()) return named;
  const std::vector<Tensor> inputs = MadeUpInputs();
  std::uint64_t elements = 0;
  for (const Tensor& tensor : inputs) {
    elements += CountElements(tensor.shape, kWarmUpBytesMax).value_or(0);
  }
  if (inputs.empty() || elements > kJsonElementsMax) return {};
  return {MadeUpRequest(inputs), std::string(kOpenInferenceType)};
}

Result<bool> OnnxModel::WarmUp(bool full) const {
  if (const Sample sample = full ? Example() : NamedSample(); !sample.data.empty()) {
    Measurements unused;
    ASSIGN_OR_RETURN(const Response response,
                     Answer({.data = sample.data, .content_type = sample.content_type}, unused));
    return true;
  }
  const std::vector<Tensor> inputs = MadeUpInputs();
  if (inputs.empty()) return false;
  ASSIGN_OR_RETURN(const OnnxSession::Outputs outputs, Infer(inputs));
  return true;
}

}  // namespace ncn::native
