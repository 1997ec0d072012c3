// An ONNX model is a protobuf message without a magic number. Its outer fields are walked, and
// those of its graph; what they hold is skipped unread.
#include <optional>

#include "base/strings.h"
#include "models/content.h"

namespace ncn::models {
namespace {

constexpr int kFieldsMax = 2'000'000;      // Of one message.
constexpr std::uint64_t kNumberMax = 100;  // ModelProto's fields end at 26, GraphProto's at 16.
constexpr std::uint64_t kIrVersionMax = 1000;
constexpr std::uint64_t kIrVersion = 1, kGraph = 7;         // Fields of ModelProto.
constexpr std::uint64_t kGraphNode = 1, kGraphOutput = 12;  // Fields of GraphProto.

enum WireType : std::uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  std::uint64_t number = 0;
  std::uint64_t wire_type = 0;
  std::uint64_t value = 0;    // Of a varint; of bytes: their number.
  std::uint64_t content = 0;  // Where the bytes begin.
};

// The fields of the message at [begin, end) of a file, one after the other.
class FieldWalker {
 public:
  FieldWalker(const FileView& file, std::uint64_t begin, std::uint64_t end)
      : file_(file), at_(begin), end_(end) {}

  std::uint64_t at() const { return at_; }
  bool done() const { return at_ == end_; }
  // Whether the last failure was for want of bytes.
  bool truncated() const { return truncated_; }

  // The next field; nothing when there is none that is well-formed.
  std::optional<Field> Next() {
    const std::optional<std::uint64_t> tag = Varint();
    if (!tag) return std::nullopt;
    Field field = {.number = *tag >> 3, .wire_type = *tag & 7};
    if (field.number == 0 || field.number > kNumberMax || ++count_ > kFieldsMax)
      return std::nullopt;
    std::uint64_t skip = 0;
    if (field.wire_type == kVarint || field.wire_type == kBytes) {
      const std::optional<std::uint64_t> value = Varint();
      if (!value) return std::nullopt;
      field.value = *value;
      if (field.wire_type == kBytes) skip = *value;
    } else if (field.wire_type == kFixed64 || field.wire_type == kFixed32) {
      skip = field.wire_type == kFixed64 ? 8 : 4;
    } else {
      return std::nullopt;
    }
    if (skip > end_ - at_) {
      truncated_ = true;
      return std::nullopt;
    }
    field.content = at_;
    at_ += skip;
    return field;
  }

 private:
  std::optional<std::uint64_t> Varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::optional<unsigned char> byte = Byte();
      if (!byte) return std::nullopt;
      value |= static_cast<std::uint64_t>(*byte & 0x7f) << shift;
      if ((*byte & 0x80) == 0) return value;
    }
    return std::nullopt;
  }

  std::optional<unsigned char> Byte() {
    constexpr std::size_t kWindowBytes = 4096;
    if (at_ < end_ && (at_ < window_at_ || at_ >= window_at_ + window_.size())) {
      window_at_ = at_;
      window_ = file_.Read(at_, kWindowBytes);
    }
    if (at_ == end_ || window_.empty()) {
      truncated_ = true;
      return std::nullopt;
    }
    return static_cast<unsigned char>(window_[static_cast<std::size_t>(at_++ - window_at_)]);
  }

  const FileView& file_;
  std::uint64_t at_;
  const std::uint64_t end_;
  int count_ = 0;
  bool truncated_ = false;
  std::uint64_t window_at_ = 0;
  std::string window_;
};

absl::Status Damaged(const FieldWalker& walker) {
  return absl::DataLossError(base::StrCat("an ONNX model that is ",
                                          walker.truncated() ? "truncated" : "damaged", " at byte ",
                                          walker.at()));
}

Recognition RecognizeGraph(const FileView& file, const Field& graph) {
  FieldWalker walker(file, graph.content, graph.content + graph.value);
  bool has_nodes_or_outputs = false;
  while (!walker.done()) {
    const std::optional<Field> field = walker.Next();
    if (!field) return Damaged(walker);
    has_nodes_or_outputs |= field->number == kGraphNode || field->number == kGraphOutput;
  }
  if (has_nodes_or_outputs) return ModelFormat::kOnnx;
  return absl::InvalidArgumentError("an ONNX model with an empty graph");
}

}  // namespace

Recognition RecognizeOnnx(const FileView& file) {
  FieldWalker walker(file, 0, file.size_bytes());
  std::optional<Field> graph;
  bool has_ir_version = false;
  bool begins_like_onnx = false;  // With a sensible ir_version, as all known writers do.
  for (bool first = true; !walker.done(); first = false) {
    const std::optional<Field> field = walker.Next();
    if (!field) return begins_like_onnx ? Recognition(Damaged(walker)) : std::nullopt;
    if (field->number == kIrVersion) {
      has_ir_version =
          field->wire_type == kVarint && field->value > 0 && field->value <= kIrVersionMax;
      if (!has_ir_version) return std::nullopt;
      begins_like_onnx |= first;
    }
    if (field->number == kGraph) {
      if (field->wire_type != kBytes) return std::nullopt;
      graph = field;
    }
  }
  if (graph && has_ir_version) return RecognizeGraph(file, *graph);
  if (begins_like_onnx) {
    return absl::DataLossError("an ONNX model without its graph, so it is truncated");
  }
  return std::nullopt;
}

}  // namespace ncn::models
