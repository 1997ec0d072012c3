#include "native/onnx_session.h"

#include <algorithm>
#include <array>

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::native {
namespace {

constexpr std::size_t kTextCharactersMax = 500;

struct Row {
  ONNXTensorElementDataType type;
  Datatype datatype;
};

constexpr std::array<Row, 13> kTypes = {{
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, Datatype::kBool},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, Datatype::kInt8},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, Datatype::kInt16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, Datatype::kInt32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, Datatype::kInt64},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, Datatype::kUint8},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, Datatype::kUint16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, Datatype::kUint32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, Datatype::kUint64},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, Datatype::kFp16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, Datatype::kFp32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, Datatype::kFp64},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, Datatype::kBytes},
}};

std::optional<Datatype> DatatypeOf(ONNXTensorElementDataType type) {
  for (const Row& row : kTypes) {
    if (row.type == type) return row.datatype;
  }
  return std::nullopt;
}

ONNXTensorElementDataType TypeOf(Datatype datatype) {
  for (const Row& row : kTypes) {
    if (row.datatype == datatype) return row.type;
  }
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

struct CodeRow {
  OrtErrorCode code;
  std::string_view type;  // As the exceptions of ONNX Runtime's Python module are called,
  std::string_view word;  // and as their texts have it.
};

constexpr std::array<CodeRow, 11> kCodes = {
    {{ORT_FAIL, "Fail", "FAIL"},
     {ORT_INVALID_ARGUMENT, "InvalidArgument", "INVALID_ARGUMENT"},
     {ORT_NO_SUCHFILE, "NoSuchFile", "NO_SUCHFILE"},
     {ORT_NO_MODEL, "NoModel", "NO_MODEL"},
     {ORT_ENGINE_ERROR, "EngineError", "ENGINE_ERROR"},
     {ORT_RUNTIME_EXCEPTION, "RuntimeException", "RUNTIME_EXCEPTION"},
     {ORT_INVALID_PROTOBUF, "InvalidProtobuf", "INVALID_PROTOBUF"},
     {ORT_MODEL_LOADED, "ModelLoaded", "MODEL_LOADED"},
     {ORT_NOT_IMPLEMENTED, "NotImplemented", "NOT_IMPLEMENTED"},
     {ORT_INVALID_GRAPH, "InvalidGraph", "INVALID_GRAPH"},
     {ORT_EP_FAIL, "EPFail", "EP_FAIL"}}};

const CodeRow& RowOf(OrtErrorCode code) {
  const auto row =
      std::find_if(kCodes.begin(), kCodes.end(), [&](const CodeRow& r) { return r.code == code; });
  return row == kCodes.end() ? kCodes.front() : *row;
}

// The first line, in the form of the Python module.
std::string Text(const absl::Status& status, OrtErrorCode code) {
  const std::string message = base::StrCat("[ONNXRuntimeError] : ", static_cast<int>(code), " : ",
                                           RowOf(code).word, " : ", base::ToStd(status.message()));
  return std::string(
      Head(std::string_view(message).substr(0, message.find('\n')), kTextCharactersMax));
}

ExecutorError LoadError(const std::filesystem::path& model, const absl::Status& status,
                        OrtErrorCode code) {
  const std::string_view message = base::ToStd(status.message());
  if (SaysOutOfMemory(message)) return OutOfMemory();
  const bool missing = code == ORT_NOT_IMPLEMENTED ||
                       message.find("is not a registered function/op") != message.npos ||
                       message.find("No Op registered for") != message.npos;
  return {
      .code = missing ? ErrorCode::kUnsupportedModel : ErrorCode::kInvalidModel,
      .message = base::StrCat(model.filename().native(), " cannot be loaded: ", Text(status, code)),
      .field = "model",
      .expected = "an ONNX model that ONNX Runtime can run",
      .found = std::string(RowOf(code).type),
      .path = model.native()};
}

ExecutorError Internal(const absl::Status& status) {
  return {.code = ErrorCode::kInternal, .message = std::string(status.message())};
}

}  // namespace

Result<OnnxSession> OnnxSession::Load(const OnnxRuntime& runtime,
                                      const std::filesystem::path& model, std::uint32_t threads) {
  const OrtApi& api = runtime.api();
  const auto options = runtime.MakeOptions(threads);
  if (!options.ok()) return Internal(options.status());
  OrtSession* made = nullptr;
  OrtErrorCode code = ORT_OK;
  const absl::Status status = [&] {
    const QuietStderr quiet;
    return runtime.ToStatus(api.CreateSession(&runtime.env(), model.c_str(), options->get(), &made),
                            &code);
  }();
  if (!status.ok()) return LoadError(model, status, code);
  OrtOwned<OrtSession> session(made, api.ReleaseSession);
  OrtMemoryInfo* memory = nullptr;
  if (const absl::Status status =
          runtime.ToStatus(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
      !status.ok()) {
    return Internal(status);
  }
  OnnxSession loaded(runtime, std::move(session), {memory, api.ReleaseMemoryInfo});
  ASSIGN_OR_RETURN(loaded.inputs_, loaded.Describe(/*inputs=*/true));
  ASSIGN_OR_RETURN(loaded.outputs_, loaded.Describe(/*inputs=*/false));
  return loaded;
}

Result<std::vector<OnnxSession::Node>> OnnxSession::Describe(bool inputs) const {
  const OrtApi& api = runtime_->api();
  std::size_t count = 0;
  const absl::Status status =
      runtime_->ToStatus(inputs ? api.SessionGetInputCount(session_.get(), &count)
                                : api.SessionGetOutputCount(session_.get(), &count));
  if (!status.ok()) return Internal(status);
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(Node node, DescribeOne(inputs, i));
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Result<OnnxSession::Node> OnnxSession::DescribeOne(bool input, std::size_t index) const {
  const OrtApi& api = runtime_->api();
  OrtAllocator* allocator = nullptr;
  char* name = nullptr;
  OrtTypeInfo* made = nullptr;
  absl::Status status = runtime_->ToStatus(api.GetAllocatorWithDefaultOptions(&allocator));
  if (!status.ok()) return Internal(status);
  status =
      runtime_->ToStatus(input ? api.SessionGetInputName(session_.get(), index, allocator, &name)
                               : api.SessionGetOutputName(session_.get(), index, allocator, &name));
  if (!status.ok()) return Internal(status);
  Node node;
  node.name = name;
  allocator->Free(allocator, name);
  status = runtime_->ToStatus(input ? api.SessionGetInputTypeInfo(session_.get(), index, &made)
                                    : api.SessionGetOutputTypeInfo(session_.get(), index, &made));
  if (!status.ok()) return Internal(status);
  const OrtOwned<OrtTypeInfo> type(made, api.ReleaseTypeInfo);
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;
  auto element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  status = runtime_->ToStatus(api.CastTypeInfoToTensorInfo(type.get(), &tensor));
  if (status.ok() && tensor != nullptr) {
    status = runtime_->ToStatus(api.GetTensorElementType(tensor, &element));
  }
  const auto datatype = status.ok() ? DatatypeOf(element) : std::nullopt;
  if (!datatype) {
    const std::string what = input ? "input" : "output";
    return ExecutorError{
        .code = ErrorCode::kUnsupportedModel,
        .message = base::StrCat("the ", what, " '", node.name, "' is not a tensor of a known type"),
        .field = base::StrCat(what, "s.", node.name),
        .expected = "a tensor",
        .found = tensor == nullptr ? "no tensor" : "elements of another type"};
  }
  node.datatype = *datatype;
  std::size_t rank = 0;
  status = runtime_->ToStatus(api.GetDimensionsCount(tensor, &rank));
  Shape shape(rank);
  if (status.ok()) {
    status = runtime_->ToStatus(api.GetDimensions(tensor, shape.data(), rank));
  }
  if (!status.ok()) return Internal(status);
  for (std::int64_t& dimension : shape) {
    dimension = std::max<std::int64_t>(dimension, -1);  // A name, or nothing.
  }
  if (rank > 0) node.shape = std::move(shape);
  return node;
}

absl::StatusOr<OrtOwned<OrtValue>> OnnxSession::ToValue(const Tensor& tensor) const {
  if (tensor.datatype == Datatype::kBytes) return ToTexts(tensor);
  const OrtApi& api = runtime_->api();
  OrtValue* value = nullptr;
  // An input is read only.
  RETURN_IF_ERROR(runtime_->ToStatus(api.CreateTensorWithDataAsOrtValue(
      memory_.get(), const_cast<char*>(tensor.bytes.data()), tensor.bytes.size(),
      tensor.shape.data(), tensor.shape.size(), TypeOf(tensor.datatype), &value)));
  return OrtOwned<OrtValue>(value, api.ReleaseValue);
}

absl::StatusOr<OrtOwned<OrtValue>> OnnxSession::ToTexts(const Tensor& tensor) const {
  const OrtApi& api = runtime_->api();
  OrtAllocator* allocator = nullptr;
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetAllocatorWithDefaultOptions(&allocator)));
  OrtValue* made = nullptr;
  RETURN_IF_ERROR(runtime_->ToStatus(
      api.CreateTensorAsOrtValue(allocator, tensor.shape.data(), tensor.shape.size(),
                                 ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &made)));
  OrtOwned<OrtValue> value(made, api.ReleaseValue);
  for (std::size_t i = 0; i < tensor.texts.size(); ++i) {
    // Not the call for all at once, for which a text ends at a zero byte.
    char* place = nullptr;
    const std::string& text = tensor.texts[i];
    RETURN_IF_ERROR(
        runtime_->ToStatus(api.GetResizedStringTensorElementBuffer(made, i, text.size(), &place)));
    text.copy(place, text.size());
  }
  return value;
}

absl::Status OnnxSession::ReadTexts(const OrtValue& value, std::size_t count,
                                    Tensor& tensor) const {
  const OrtApi& api = runtime_->api();
  std::size_t bytes = 0;
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetStringTensorDataLength(&value, &bytes)));
  std::string all(bytes, '\0');
  std::vector<std::size_t> offsets(count);
  RETURN_IF_ERROR(runtime_->ToStatus(
      api.GetStringTensorContent(&value, all.data(), bytes, offsets.data(), count)));
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t end = i + 1 < count ? offsets[i + 1] : bytes;
    tensor.texts.push_back(all.substr(offsets[i], end - offsets[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensor> OnnxSession::ToTensor(const Node& node, OrtValue& value) const {
  const OrtApi& api = runtime_->api();
  OrtTensorTypeAndShapeInfo* made = nullptr;
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetTensorTypeAndShape(&value, &made)));
  const OrtOwned<OrtTensorTypeAndShapeInfo> info(made, api.ReleaseTensorTypeAndShapeInfo);
  auto element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::size_t rank = 0, count = 0;
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetTensorElementType(made, &element)));
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetDimensionsCount(made, &rank)));
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetTensorShapeElementCount(made, &count)));
  const auto datatype = DatatypeOf(element);
  if (!datatype) return absl::InternalError("an output changed its type");
  Tensor tensor{.name = node.name, .datatype = *datatype, .shape = Shape(rank)};
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetDimensions(made, tensor.shape.data(), rank)));
  if (*datatype == Datatype::kBytes) {
    RETURN_IF_ERROR(ReadTexts(value, count, tensor));
    return tensor;
  }
  void* data = nullptr;
  RETURN_IF_ERROR(runtime_->ToStatus(api.GetTensorMutableData(&value, &data)));
  tensor.bytes = {static_cast<const char*>(data), count * SizeOf(*datatype)};
  return tensor;
}

Result<OnnxSession::Outputs> OnnxSession::Run(const std::vector<Tensor>& inputs) const {
  const OrtApi& api = runtime_->api();
  const auto failed = [](const absl::Status& status, OrtErrorCode code) {
    const std::string_view message = base::ToStd(status.message());
    if (SaysOutOfMemory(message)) return OutOfMemory();
    return ExecutorError{.code = ErrorCode::kInvalidModel, .message = Text(status, code)};
  };
  std::vector<const char*> input_names, output_names;
  std::vector<OrtOwned<OrtValue>> owned;
  std::vector<const OrtValue*> values;
  for (const Tensor& input : inputs) {
    auto value = ToValue(input);
    if (!value.ok()) return failed(value.status(), ORT_INVALID_ARGUMENT);
    input_names.push_back(input.name.c_str());
    values.push_back(value->get());
    owned.push_back(*std::move(value));
  }
  for (const Node& output : outputs_) output_names.push_back(output.name.c_str());
  std::vector<OrtValue*> results(outputs_.size(), nullptr);
  OrtErrorCode code = ORT_OK;
  const absl::Status status = runtime_->ToStatus(
      api.Run(session_.get(), nullptr, input_names.data(), values.data(), values.size(),
              output_names.data(), output_names.size(), results.data()),
      &code);
  Outputs outputs;
  for (OrtValue* result : results) outputs.values.emplace_back(result, api.ReleaseValue);
  if (!status.ok()) return failed(status, code);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i] == nullptr) return failed(absl::InternalError("an output is missing"), ORT_FAIL);
    auto tensor = ToTensor(outputs_[i], *results[i]);
    if (!tensor.ok()) return failed(tensor.status(), ORT_FAIL);
    outputs.tensors.push_back(*std::move(tensor));
  }
  return outputs;
}

}  // namespace ncn::native
