// Tensors in JSON, for the Python executors: what takes Python longest about a small request. In
// this library because every ready child has it in its memory already.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "native/json_writer.h"
#include "native/open_inference.h"

namespace {

constexpr std::size_t kAlignment = 8;

void Align(std::string& bytes) {
  bytes.resize((bytes.size() + kAlignment - 1) / kAlignment * kAlignment);
}

template <typename List, typename Append>
void AppendList(const List& list, std::string& json, const Append& append) {
  json += '[';
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (i > 0) json += ',';
    append(list[i]);
  }
  json += ']';
}

// Says where in what follows the header each tensor's elements are.
std::string Header(const ncn::native::Question& question) {
  std::string json = "{\"id\":";
  ncn::native::AppendJson(question.identifier, json);
  json += ",\"outputs\":";
  AppendList(question.outputs, json,
             [&](const std::string& name) { ncn::native::AppendJson(name, json); });
  json += ",\"tensors\":";
  std::size_t offset = 0;
  AppendList(question.tensors, json, [&](const ncn::native::Tensor& tensor) {
    json += '[';
    ncn::native::AppendJson(tensor.name, json);
    json += ',';
    ncn::native::AppendJson(Name(tensor.datatype), json);
    json += ',';
    AppendList(tensor.shape, json, [&](std::int64_t size) { ncn::native::AppendJson(size, json); });
    json += ',';
    ncn::native::AppendJson(offset, json);
    json += ']';
    offset += (tensor.bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
  });
  return json + '}';
}

}  // namespace

// Decodes a request of the Open Inference Protocol. Returns memory for ncn_json_tensors_free and
// its size: the size of a header (8 bytes, little-endian, padding included), the header (JSON:
// {"id", "outputs": [name], "tensors": [[name, datatype, shape, offset]]}), then the tensors'
// little-endian elements at their offsets, each aligned to 8 bytes. Null for whatever Python should
// look at itself: a wrong request, of which it tells what is wrong, and one with texts.
extern "C" __attribute__((visibility("default"))) char* ncn_json_tensors(const char* text,
                                                                         std::size_t text_size,
                                                                         std::size_t* size) {
  const auto question = ncn::native::DecodeOpenInference({text, text_size});
  if (!question.ok()) return nullptr;
  for (const ncn::native::Tensor& tensor : question->tensors) {
    if (tensor.datatype == ncn::native::Datatype::kBytes) return nullptr;
  }
  std::string bytes(kAlignment, '\0');
  bytes += Header(*question);
  bytes.resize((bytes.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const std::uint64_t header_size = bytes.size() - kAlignment;
  std::memcpy(bytes.data(), &header_size, sizeof(header_size));
  for (const ncn::native::Tensor& tensor : question->tensors) {
    bytes += tensor.bytes;
    Align(bytes);
  }
  auto copy = std::make_unique_for_overwrite<char[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.get());
  *size = bytes.size();
  return copy.release();
}

extern "C" __attribute__((visibility("default"))) void ncn_json_tensors_free(char* memory) {
  const std::unique_ptr<char[]> freed(memory);
}
