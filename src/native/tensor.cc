#include "native/tensor.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ncn::native {
namespace {

struct Row {
  std::string_view name;
  std::size_t size;
};

// By Datatype.
constexpr std::array<Row, 13> kRows = {{{"BOOL", 1},
                                        {"INT8", 1},
                                        {"INT16", 2},
                                        {"INT32", 4},
                                        {"INT64", 8},
                                        {"UINT8", 1},
                                        {"UINT16", 2},
                                        {"UINT32", 4},
                                        {"UINT64", 8},
                                        {"FP16", 2},
                                        {"FP32", 4},
                                        {"FP64", 8},
                                        {"BYTES", 0}}};

const Row& RowOf(Datatype datatype) { return kRows[static_cast<std::size_t>(datatype)]; }

// Looks at the bits alone: `exponent` set means that the number is not finite, and any bit of
// `fraction` besides that it is none at all.
template <typename Bits>
std::string_view NonFinite(std::string_view bytes, Bits exponent, Bits fraction) {
  const auto bits_at = [&](std::size_t at) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + at, sizeof(bits));
    return bits;
  };
  bool any = false;  // Without a branch for each element, which the compiler turns into vectors.
  for (std::size_t at = 0; at + sizeof(Bits) <= bytes.size(); at += sizeof(Bits)) {
    any |= (bits_at(at) & exponent) == exponent;
  }
  if (!any) return "";
  for (std::size_t at = 0; at + sizeof(Bits) <= bytes.size(); at += sizeof(Bits)) {
    if ((bits_at(at) & exponent) == exponent && (bits_at(at) & fraction) != 0) return "NaN";
  }
  return "Infinity";
}

}  // namespace

std::string_view Name(Datatype datatype) { return RowOf(datatype).name; }

std::optional<Datatype> DatatypeFromName(std::string_view name) {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<Datatype>(i);
  }
  return std::nullopt;
}

std::string DatatypeNames() {
  std::string names;
  for (const Row& row : kRows) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

std::size_t SizeOf(Datatype datatype) { return RowOf(datatype).size; }

bool IsFloat(Datatype datatype) {
  return datatype == Datatype::kFp16 || datatype == Datatype::kFp32 || datatype == Datatype::kFp64;
}

std::optional<std::uint64_t> CountElements(const Shape& shape, std::uint64_t max) {
  for (const std::int64_t dimension : shape) {
    if (dimension == 0) return 0;
  }
  std::uint64_t count = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 || static_cast<std::uint64_t>(dimension) > max / count) return std::nullopt;
    count *= static_cast<std::uint64_t>(dimension);
  }
  return count;
}

std::string ShapeText(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += dimension < 0 ? "any" : std::to_string(dimension);
  }
  return text + "]";
}

bool ShapesFit(const Shape& wanted, const Shape& found) {
  return std::equal(wanted.begin(), wanted.end(), found.begin(), found.end(),
                    [](std::int64_t a, std::int64_t b) { return a == b || a == -1 || b == -1; });
}

char* Tensor::Allocate(std::size_t size) {
  storage.reset(new char[size]);
  bytes = {storage.get(), size};
  return storage.get();
}

std::string_view FirstNonFinite(const Tensor& tensor) {
  switch (tensor.datatype) {
    case Datatype::kFp16:
      return NonFinite<std::uint16_t>(tensor.bytes, 0x7C00, 0x03FF);
    case Datatype::kFp32:
      return NonFinite<std::uint32_t>(tensor.bytes, 0x7F80'0000, 0x007F'FFFF);
    case Datatype::kFp64:
      return NonFinite<std::uint64_t>(tensor.bytes, 0x7FF0'0000'0000'0000, 0x000F'FFFF'FFFF'FFFF);
    default:
      return "";
  }
}

}  // namespace ncn::native
