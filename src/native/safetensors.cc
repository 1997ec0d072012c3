#include "native/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/status_macros.h"
#include "native/json_value.h"
#include "native/utf8.h"

namespace ncn::native {
namespace {

using Kind = JsonValue::Kind;

constexpr std::uint64_t kHeaderBytesMax = 100'000'000;
constexpr std::size_t kPrefixBytes = 8;
constexpr char kMetadata[] = "__metadata__";

struct Row {
  std::string_view name;
  Datatype datatype;
};

constexpr std::array<Row, 12> kRows = {{{"U64", Datatype::kUint64},
                                        {"I64", Datatype::kInt64},
                                        {"F64", Datatype::kFp64},
                                        {"F32", Datatype::kFp32},
                                        {"U32", Datatype::kUint32},
                                        {"I32", Datatype::kInt32},
                                        {"F16", Datatype::kFp16},
                                        {"U16", Datatype::kUint16},
                                        {"I16", Datatype::kInt16},
                                        {"I8", Datatype::kInt8},
                                        {"U8", Datatype::kUint8},
                                        {"BOOL", Datatype::kBool}}};
// Those that only the generic executor reads.
constexpr std::array<std::string_view, 3> kForeign = {"BF16", "F8_E4M3", "F8_E5M2"};

const Row& RowOf(Datatype datatype) {
  return *std::find_if(kRows.begin(), kRows.end(),
                       [&](const Row& row) { return row.datatype == datatype; });
}

// `what` in the words of the safetensors library.
ExecutorError NotWhole(std::string_view what) {
  return InvalidInput("the request is not a whole safetensors file", "",
                      std::string(kSafetensorsType),
                      "Error while deserializing: " + std::string(what));
}

ExecutorError BadHeader() { return NotWhole("InvalidHeaderDeserialization"); }

struct Entry {
  Tensor tensor;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Result<Entry> ReadEntry(const JsonValue::Member& member) {
  const auto& [name, fields] = member;
  const JsonValue* dtype = fields.Find("dtype");
  const JsonValue* shape = fields.Find("shape");
  const JsonValue* offsets = fields.Find("data_offsets");
  if (dtype == nullptr || !dtype->is(Kind::kText) || shape == nullptr || !shape->is(Kind::kList) ||
      offsets == nullptr || !offsets->is(Kind::kList) || offsets->list().size() != 2) {
    return BadHeader();
  }
  const auto row = std::find_if(kRows.begin(), kRows.end(),
                                [&](const Row& r) { return r.name == dtype->text(); });
  if (row == kRows.end()) {
    if (std::find(kForeign.begin(), kForeign.end(), dtype->text()) == kForeign.end()) {
      return BadHeader();
    }
    return ExecutorError{.code = ErrorCode::kUnsupportedModel,
                         .message = "the native executor does not read all of this request",
                         .field = "inputs." + std::string(Head(name, 80)) + ".datatype"};
  }
  Entry entry;
  entry.tensor.name = name;
  entry.tensor.datatype = row->datatype;
  for (const JsonValue& dimension : shape->list()) {
    if (!dimension.is(Kind::kInteger) || dimension.integer() < 0) return BadHeader();
    entry.tensor.shape.push_back(dimension.integer());
  }
  for (std::uint64_t* offset : {&entry.begin, &entry.end}) {
    const JsonValue& value = offsets->list()[offset == &entry.begin ? 0 : 1];
    if (!value.is(Kind::kInteger) || value.integer() < 0) return BadHeader();
    *offset = static_cast<std::uint64_t>(value.integer());
  }
  return entry;
}

// Every tensor begins where the one before it ends, and the last ends with the file.
Result<std::uint64_t> CheckLayout(std::vector<Entry*> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t at = 0;
  for (const Entry* entry : entries) {
    if (entry->begin != at || entry->end < entry->begin) {
      return NotWhole("InvalidOffset(\"" + entry->tensor.name + "\")");
    }
    at = entry->end;
    const std::size_t size = SizeOf(entry->tensor.datatype);
    const auto count =
        CountElements(entry->tensor.shape, std::numeric_limits<std::int64_t>::max() / size);
    if (!count) return NotWhole("ValidationOverflow");
    if (*count * size != entry->end - entry->begin) return NotWhole("TensorInvalidInfo");
  }
  return at;
}

// The tensors' numbers, where an element has to lie on a multiple of its size.
void Point(Tensor& tensor, std::string_view bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  if (address % std::max<std::size_t>(1, SizeOf(tensor.datatype)) == 0) {
    tensor.bytes = bytes;
  } else {
    char* const copy = tensor.Allocate(bytes.size());
    if (!bytes.empty()) std::memcpy(copy, bytes.data(), bytes.size());
  }
}

Result<std::string> ReadIdentifier(const JsonValue& metadata) {
  if (!metadata.is(Kind::kObject)) return BadHeader();
  for (const auto& [key, value] : metadata.object()) {
    if (!value.is(Kind::kText)) return BadHeader();
  }
  const JsonValue* identifier = metadata.Find("id");
  return identifier == nullptr ? std::string() : std::string(Head(identifier->text(), 256));
}

}  // namespace

Result<Question> DecodeSafetensors(std::string_view file) {
  if (file.size() < kPrefixBytes) return NotWhole("HeaderTooSmall");
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), kPrefixBytes);
  if (header_bytes > kHeaderBytesMax) return NotWhole("HeaderTooLarge");
  if (header_bytes > file.size() - kPrefixBytes) return NotWhole("InvalidHeaderLength");
  const std::string_view text = file.substr(kPrefixBytes, header_bytes);
  const std::string_view data = file.substr(kPrefixBytes + header_bytes);
  const auto header = ParseJson(text);
  if (!header.ok() || !header->is(Kind::kObject)) return BadHeader();
  Question question;
  std::vector<Entry> entries;
  std::set<std::string_view> names;
  for (const JsonValue::Member& member : header->object()) {
    if (member.first == kMetadata) {
      ASSIGN_OR_RETURN(question.identifier, ReadIdentifier(member.second));
      continue;
    }
    if (!names.insert(member.first).second) {
      return NotWhole("InvalidOffset(\"" + member.first + "\")");
    }
    ASSIGN_OR_RETURN(Entry entry, ReadEntry(member));
    entries.push_back(std::move(entry));
  }
  std::vector<Entry*> pointers;
  for (Entry& entry : entries) pointers.push_back(&entry);
  ASSIGN_OR_RETURN(const std::uint64_t end, CheckLayout(std::move(pointers)));
  if (end != data.size()) return NotWhole("MetadataIncompleteBuffer");
  for (Entry& entry : entries) {
    Point(entry.tensor, data.substr(entry.begin, entry.end - entry.begin));
    question.tensors.push_back(std::move(entry.tensor));
  }
  return question;
}

Result<std::string> EncodeSafetensors(const std::vector<const Tensor*>& outputs,
                                      const AnswerNames& names) {
  nlohmann::ordered_json header = {{kMetadata, nlohmann::ordered_json::object()}};
  for (const auto& [key, value] :
       {std::pair("model_name", &names.model_name),
        std::pair("model_version", &names.model_version), std::pair("id", &names.identifier)}) {
    if (!value->empty()) header[kMetadata][key] = *value;
  }
  for (const Tensor* tensor : outputs) {
    if (tensor->datatype == Datatype::kBytes) {
      return InvalidInput("the output '" + tensor->name +
                              "' holds texts, which safetensors cannot: ask for application/json",
                          "outputs." + tensor->name, "numbers, or accept application/json",
                          std::string(Name(tensor->datatype)));
    }
    header[tensor->name] = {{"dtype", RowOf(tensor->datatype).name}, {"shape", tensor->shape}};
  }
  // The widest first, so that every element is aligned.
  std::vector<const Tensor*> sorted = outputs;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Tensor* a, const Tensor* b) {
    return SizeOf(a->datatype) > SizeOf(b->datatype);
  });
  std::uint64_t at = 0;
  for (const Tensor* tensor : sorted) {
    header[tensor->name]["data_offsets"] = {at, at + tensor->bytes.size()};
    at += tensor->bytes.size();
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append((kPrefixBytes - text.size() % kPrefixBytes) % kPrefixBytes, ' ');
  std::string file(kPrefixBytes, '\0');
  const std::uint64_t header_bytes = text.size();
  std::memcpy(file.data(), &header_bytes, kPrefixBytes);
  file.reserve(file.size() + text.size() + at);
  file += text;
  for (const Tensor* tensor : sorted) file += tensor->bytes;
  return file;
}

}  // namespace ncn::native
