#include "native/open_inference.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/status_macros.h"
#include "native/half.h"
#include "native/json_tensor.h"
#include "native/json_value.h"
#include "native/json_writer.h"
#include "native/utf8.h"

namespace ncn::native {
namespace {

using Kind = JsonValue::Kind;

constexpr std::size_t kNameCharactersMax = 256;
constexpr std::array<std::string_view, 4> kTensorKeys = {"name", "shape", "datatype", "data"};

ExecutorError Unknown(std::string field) {
  return {.code = ErrorCode::kUnsupportedModel,
          .message = "the native executor does not read all of this request",
          .field = std::move(field)};
}

ExecutorError NoObject(const std::string& field, const JsonValue& item) {
  return InvalidInput("an input is not an object", field,
                      R"({"name", "shape", "datatype", "data"})", std::string(item.Describe()));
}

ExecutorError KeyIsMissing(const std::string& field, std::string_view key, const JsonValue& item) {
  std::string found;
  std::vector<std::string_view> seen;
  for (const auto& [name, value] : item.object()) {
    if (seen.size() == 8) break;
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
    if (!found.empty()) found += ", ";
    found += Head(name, 40);
    seen.push_back(name);
  }
  return InvalidInput("'" + std::string(key) + "' is missing", field + "." + std::string(key),
                      "name, shape, datatype and data", found.empty() ? "nothing" : found);
}

Result<Shape> DecodeShape(const std::string& field, const JsonValue& value) {
  const auto refuse = [&](std::string_view found) {
    return InvalidInput("a shape cannot be used", field,
                        "a list of at most " + std::to_string(kRankMax) + " whole numbers",
                        std::string(found));
  };
  if (!value.is(Kind::kList)) return refuse(value.Describe());
  Shape shape;
  for (const JsonValue& dimension : value.list()) {
    if (!dimension.is(Kind::kInteger) || dimension.integer() < 0 || shape.size() == kRankMax) {
      return refuse("other elements");
    }
    shape.push_back(dimension.integer());
  }
  return shape;
}

Result<Tensor> DecodeTensor(const std::string& field, const JsonValue& item) {
  if (!item.is(Kind::kObject)) return NoObject(field, item);
  if (item.Find("parameters") != nullptr) return Unknown(field + ".parameters");
  for (const std::string_view key : kTensorKeys) {
    if (item.Find(key) == nullptr) return KeyIsMissing(field, key, item);
  }
  const JsonValue& name = *item.Find("name");
  const JsonValue& datatype_name = *item.Find("datatype");
  if (!name.is(Kind::kText) || name.text().empty() ||
      CountCharacters(name.text()) > kNameCharactersMax) {
    return InvalidInput("an input has no usable name", field + ".name",
                        "a text of 1 to 256 characters", std::string(name.Describe()));
  }
  const auto datatype =
      datatype_name.is(Kind::kText) ? DatatypeFromName(datatype_name.text()) : std::nullopt;
  if (!datatype) return Unknown(field + ".datatype");
  Tensor tensor{.name = name.text(), .datatype = *datatype};
  ASSIGN_OR_RETURN(tensor.shape, DecodeShape(field + ".shape", *item.Find("shape")));
  if (auto error = FillFromJson(field + ".data", *item.Find("data"), tensor)) {
    return *std::move(error);
  }
  return tensor;
}

Result<std::vector<std::string>> DecodeWantedOutputs(const JsonValue& body) {
  const JsonValue* items = body.Find("outputs");
  std::vector<std::string> names;
  if (items == nullptr) return names;
  const auto refuse = [&] {
    return InvalidInput("the list of outputs cannot be used", "outputs",
                        R"(a list of {"name": ...})",
                        items->is(Kind::kList) ? "other elements" : std::string(items->Describe()));
  };
  if (!items->is(Kind::kList) || items->list().size() > kInputsMax) return refuse();
  for (const JsonValue& item : items->list()) {
    if (item.Find("parameters") != nullptr) return Unknown("outputs.parameters");
    const JsonValue* name = item.Find("name");
    if (name == nullptr || !name->is(Kind::kText)) return refuse();
    names.push_back(name->text());
  }
  return names;
}

Result<std::string> DecodeIdentifier(const JsonValue& body) {
  const JsonValue* identifier = body.Find("id");
  if (identifier == nullptr) return std::string();
  if (!identifier->is(Kind::kText) || CountCharacters(identifier->text()) > kNameCharactersMax) {
    return InvalidInput("the id cannot be used", "id", "a text of at most 256 characters",
                        std::string(identifier->Describe()));
  }
  return identifier->text();
}

template <typename Element, typename Convert>
void AppendElements(std::string_view bytes, std::string& json, Convert convert) {
  for (std::size_t at = 0; at + sizeof(Element) <= bytes.size(); at += sizeof(Element)) {
    Element element;
    std::memcpy(&element, bytes.data() + at, sizeof(element));
    if (at > 0) json.push_back(',');
    AppendJson(convert(element), json);
  }
}

void AppendElements(const Tensor& tensor, std::string& json) {
  const auto as_it_is = [](auto element) { return element; };
  const auto as_double = [](auto element) { return static_cast<double>(element); };
  switch (tensor.datatype) {
    case Datatype::kBool:
      return AppendElements<std::uint8_t>(tensor.bytes, json, [](auto e) { return e != 0; });
    case Datatype::kInt8:
      return AppendElements<std::int8_t>(tensor.bytes, json, as_it_is);
    case Datatype::kInt16:
      return AppendElements<std::int16_t>(tensor.bytes, json, as_it_is);
    case Datatype::kInt32:
      return AppendElements<std::int32_t>(tensor.bytes, json, as_it_is);
    case Datatype::kInt64:
      return AppendElements<std::int64_t>(tensor.bytes, json, as_it_is);
    case Datatype::kUint8:
      return AppendElements<std::uint8_t>(tensor.bytes, json, as_it_is);
    case Datatype::kUint16:
      return AppendElements<std::uint16_t>(tensor.bytes, json, as_it_is);
    case Datatype::kUint32:
      return AppendElements<std::uint32_t>(tensor.bytes, json, as_it_is);
    case Datatype::kUint64:
      return AppendElements<std::uint64_t>(tensor.bytes, json, as_it_is);
    case Datatype::kFp16:
      return AppendElements<std::uint16_t>(tensor.bytes, json, HalfToDouble);
    case Datatype::kFp32:
      return AppendElements<float>(tensor.bytes, json, as_double);
    case Datatype::kFp64:
      return AppendElements<double>(tensor.bytes, json, as_it_is);
    case Datatype::kBytes:
      for (std::size_t i = 0; i < tensor.texts.size(); ++i) {
        if (i > 0) json.push_back(',');
        AppendJson(std::string_view(tensor.texts[i]), json);
      }
  }
}

void AppendMember(std::string_view key, std::string_view text, std::string& json) {
  AppendJson(key, json);
  json.push_back(':');
  AppendJson(text, json);
}

void AppendOutput(const Tensor& tensor, const std::vector<std::string>* labels, std::string& json) {
  json.push_back('{');
  AppendMember("name", tensor.name, json);
  json += ",\"shape\":[";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (i > 0) json.push_back(',');
    AppendJson(tensor.shape[i], json);
  }
  json += "],";
  AppendMember("datatype", Name(tensor.datatype), json);
  if (labels != nullptr && !labels->empty()) {
    json += ",\"parameters\":{\"labels\":[";
    for (std::size_t i = 0; i < labels->size(); ++i) {
      if (i > 0) json.push_back(',');
      AppendJson(std::string_view((*labels)[i]), json);
    }
    json += "]}";
  }
  json += ",\"data\":[";
  AppendElements(tensor, json);
  json += "]}";
}

}  // namespace

Result<Question> DecodeOpenInference(std::string_view text) {
  const auto parsed = ParseJson(text);
  if (!parsed.ok()) {
    // Tensors' bytes may follow the JSON.
    const bool binary = text.find("\"binary_data_size\"") != std::string_view::npos;
    return binary ? Unknown("parameters") : parsed.status();
  }
  const JsonValue& body = *parsed;
  if (!body.is(Kind::kObject)) {
    return InvalidInput("the request is not an object", "", R"({"inputs": [...]})",
                        std::string(body.Describe()));
  }
  const JsonValue* items = body.Find("inputs");
  if (body.Find("parameters") != nullptr) return Unknown("parameters");
  const bool listed = items != nullptr && items->is(Kind::kList);
  if (!listed || items->list().size() > kInputsMax) {
    return InvalidInput("the request lists no inputs", "inputs",
                        "a list of at most " + std::to_string(kInputsMax) + " tensors",
                        listed             ? std::to_string(items->list().size()) + " tensors"
                        : items == nullptr ? "nothing"
                                           : std::string(items->Describe()));
  }
  Question question;
  for (std::size_t i = 0; i < items->list().size(); ++i) {
    const std::string field = "inputs[" + std::to_string(i) + "]";
    ASSIGN_OR_RETURN(Tensor tensor, DecodeTensor(field, items->list()[i]));
    for (const Tensor& other : question.tensors) {
      if (other.name != tensor.name) continue;
      return InvalidInput("the input '" + tensor.name + "' is given twice", field + ".name",
                          "each name once", "twice");
    }
    question.tensors.push_back(std::move(tensor));
  }
  ASSIGN_OR_RETURN(question.identifier, DecodeIdentifier(body));
  ASSIGN_OR_RETURN(question.outputs, DecodeWantedOutputs(body));
  return question;
}

Result<std::string> EncodeOpenInference(
    const std::vector<const Tensor*>& outputs,
    const std::map<std::string, std::vector<std::string>>& labels, const AnswerNames& names) {
  std::string json = "{";
  AppendMember("model_name", names.model_name, json);
  json.push_back(',');
  if (!names.model_version.empty()) {
    AppendMember("model_version", names.model_version, json);
    json.push_back(',');
  }
  AppendMember("id", names.identifier, json);
  json += ",\"outputs\":[";
  for (const Tensor* output : outputs) {
    if (const std::string_view bad = FirstNonFinite(*output); !bad.empty()) {
      return InvalidInput("the output '" + output->name + "' holds " + std::string(bad) +
                              ", which JSON cannot say: ask for application/x-safetensors",
                          "outputs." + output->name,
                          "finite numbers, or accept application/x-safetensors", std::string(bad));
    }
    if (output != outputs.front()) json.push_back(',');
    const auto found = labels.find(output->name);
    AppendOutput(*output, found == labels.end() ? nullptr : &found->second, json);
  }
  return json + "]}";
}

}  // namespace ncn::native
