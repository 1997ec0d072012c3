#include "native/onnx_weights.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <list>
#include <vector>

#include "base/strings.h"
#include "base/unique_fd.h"

namespace ncn::native {
namespace {

// Of onnx.proto3.
constexpr std::uint64_t kModelGraph = 7;
constexpr std::uint64_t kGraphInitializer = 5;
constexpr std::uint64_t kTensorType = 2, kTensorFloats = 4, kTensorWholes = 5, kTensorName = 8;
constexpr std::uint64_t kTensorRaw = 9, kTensorDoubles = 10, kTensorExternal = 13;
constexpr std::uint64_t kEntryKey = 1, kEntryValue = 2;
constexpr std::uint64_t kFloat = 1, kFloat16 = 10, kDouble = 11, kBfloat16 = 16;
constexpr int kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

// One field after the other of a protobuf message.
class Fields {
 public:
  explicit Fields(std::string_view rest) : rest_(rest) {}

  // Goes to the next field; false at the end, and where the message is damaged.
  bool Next() {
    const auto tag = Varint();
    if (!tag) return false;
    number = *tag >> 3;
    type = static_cast<int>(*tag & 7);
    std::uint64_t size = type == kFixed64 ? 8 : 4;
    if (type == kVarint || type == kBytes) {
      const auto read = Varint();
      if (!read) return false;
      value = size = *read;
      bytes = {};
      if (type == kVarint) return true;
    } else if (type != kFixed64 && type != kFixed32) {
      return false;
    }
    if (size > rest_.size()) return false;
    bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::optional<std::uint64_t> Varint() {
    std::uint64_t read = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      read |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return read;
    }
    return std::nullopt;
  }

  std::uint64_t number = 0;
  int type = kVarint;
  std::uint64_t value = 0;  // Of a varint.
  std::string_view bytes;   // Of all else.

 private:
  std::string_view rest_;
};

// What a TensorProto has of interest here.
struct Initializer {
  std::string_view name;
  std::uint64_t type = 0;
  std::vector<std::string_view> raw, floats, doubles, wholes;
  std::string_view location;
  std::uint64_t offset = 0, length = 0;
};

void ReadExternal(std::string_view entry, Initializer& tensor) {
  std::string_view key, text;
  for (Fields fields(entry); fields.Next();) {
    if (fields.number == kEntryKey) key = fields.bytes;
    if (fields.number == kEntryValue) text = fields.bytes;
  }
  if (key == "location") tensor.location = text;
  std::uint64_t* const number = key == "offset"   ? &tensor.offset
                                : key == "length" ? &tensor.length
                                                  : nullptr;
  if (number != nullptr) std::from_chars(text.data(), text.data() + text.size(), *number);
}

Initializer ReadInitializer(std::string_view message) {
  Initializer tensor;
  for (Fields fields(message); fields.Next();) {
    if (fields.number == kTensorType && fields.type == kVarint) tensor.type = fields.value;
    if (fields.type == kVarint) continue;
    if (fields.number == kTensorName) tensor.name = fields.bytes;
    if (fields.number == kTensorRaw) tensor.raw.push_back(fields.bytes);
    if (fields.number == kTensorFloats) tensor.floats.push_back(fields.bytes);
    if (fields.number == kTensorDoubles) tensor.doubles.push_back(fields.bytes);
    if (fields.number == kTensorWholes) tensor.wholes.push_back(fields.bytes);
    if (fields.number == kTensorExternal) ReadExternal(fields.bytes, tensor);
  }
  return tensor;
}

// Looks at the bits alone: beyond `infinity`, without the sign, there is no number.
template <typename Bits>
void Count(std::string_view bytes, Bits infinity, NanWeights& found) {
  const Bits magnitude = static_cast<Bits>(~(Bits{1} << (8 * sizeof(Bits) - 1)));
  std::uint64_t nans = 0;  // Without a branch for each, which the compiler turns into vectors.
  const std::size_t count = bytes.size() / sizeof(Bits);
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof(Bits), sizeof(bits));
    nans += static_cast<Bits>(bits & magnitude) > infinity;
  }
  found.nan_count += nans;
  found.count += count;
}

// Half-wide floats that stand as whole numbers.
std::string Narrowed(std::string_view packed) {
  std::string bytes;
  Fields numbers(packed);
  for (auto number = numbers.Varint(); number; number = numbers.Varint()) {
    bytes.push_back(static_cast<char>(*number & 0xFF));
    bytes.push_back(static_cast<char>(*number >> 8 & 0xFF));
  }
  return bytes;
}

NanWeights CountNan(const Initializer& tensor, const ExternalBytes& external) {
  NanWeights found{.name = std::string(tensor.name)};
  std::vector<std::string_view> dense = tensor.raw;
  if (!tensor.location.empty()) {
    dense.push_back(external(tensor.location, tensor.offset, tensor.length));
  }
  const auto count = [&](const std::vector<std::string_view>& parts, auto infinity) {
    for (const std::string_view part : parts) Count(part, infinity, found);
  };
  if (tensor.type == kFloat) {
    count(dense, std::uint32_t{0x7F80'0000});
    count(tensor.floats, std::uint32_t{0x7F80'0000});
  } else if (tensor.type == kDouble) {
    count(dense, std::uint64_t{0x7FF0'0000'0000'0000});
    count(tensor.doubles, std::uint64_t{0x7FF0'0000'0000'0000});
  } else if (tensor.type == kFloat16 || tensor.type == kBfloat16) {
    const std::uint16_t infinity = tensor.type == kFloat16 ? 0x7C00 : 0x7F80;
    count(dense, infinity);
    for (const std::string_view part : tensor.wholes) Count(Narrowed(part), infinity, found);
  }
  return found;
}

// A file as it lies in the page cache, for as long as this lives.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) {
    const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info;
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0 || info.st_size <= 0) return;
    const auto size = static_cast<std::size_t>(info.st_size);
    void* const at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (at != MAP_FAILED) bytes_ = {static_cast<const char*>(at), size};
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return bytes_; }

 private:
  std::string_view bytes_;
};

}  // namespace

std::optional<NanWeights> FindNan(std::string_view model, const ExternalBytes& external) {
  for (Fields parts(model); parts.Next();) {
    if (parts.number != kModelGraph || parts.type != kBytes) continue;
    for (Fields fields(parts.bytes); fields.Next();) {
      if (fields.number != kGraphInitializer || fields.type != kBytes) continue;
      NanWeights found = CountNan(ReadInitializer(fields.bytes), external);
      if (found.nan_count > 0 && found.count > 1) return found;
    }
  }
  return std::nullopt;
}

std::optional<ExecutorError> RefuseNan(const std::filesystem::path& file) {
  const MappedFile model(file);
  std::list<std::pair<std::string, MappedFile>> others;
  const auto external = [&](std::string_view name, std::uint64_t offset,
                            std::uint64_t length) -> std::string_view {
    auto found = std::find_if(others.begin(), others.end(),
                              [&](const auto& other) { return other.first == name; });
    if (found == others.end()) {
      others.emplace_back(std::piecewise_construct, std::forward_as_tuple(name),
                          std::forward_as_tuple(file.parent_path() / name));
      found = std::prev(others.end());
    }
    const std::string_view bytes = found->second.bytes();
    if (offset > bytes.size()) return {};
    return bytes.substr(offset, length == 0 ? bytes.npos : length);
  };
  const auto found = FindNan(model.bytes(), external);
  if (!found) return std::nullopt;
  return ExecutorError{
      .code = ErrorCode::kInvalidModel,
      .message = base::StrCat("the weights in ", file.filename().native(), " are not all numbers"),
      .field = "weights." + found->name,
      .expected = "numbers",
      .found = base::StrCat(found->nan_count, " NaN of ", found->count),
      .path = file.native()};
}

}  // namespace ncn::native
