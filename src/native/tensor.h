#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ncn::native {

// The datatypes of the Open Inference Protocol.
enum class Datatype {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFp16,
  kFp32,
  kFp64,
  kBytes,  // Texts.
};

// "BOOL", "INT8" and so on.
std::string_view Name(Datatype datatype);
std::optional<Datatype> DatatypeFromName(std::string_view name);
// All names, as a message lists them.
std::string DatatypeNames();
// Of one element; texts have none, 0.
std::size_t SizeOf(Datatype datatype);
// Whether values may be NaN or infinite.
bool IsFloat(Datatype datatype);

inline constexpr std::size_t kRankMax = 16;
using Shape = std::vector<std::int64_t>;

// Elements of a shape; nothing when they are more than `max`.
std::optional<std::uint64_t> CountElements(const Shape& shape, std::uint64_t max);
// "[any, 3]" for {-1, 3}.
std::string ShapeText(const Shape& shape);
// Whether a shape is one that was declared; -1 is any, on either side.
bool ShapesFit(const Shape& wanted, const Shape& found);

// A tensor, dense and in row-major order. Movable; its bytes stay where they are.
struct Tensor {
  std::string name;
  Datatype datatype = Datatype::kFp32;
  Shape shape;
  // Little-endian elements without padding: of `storage`, or of something that outlives the tensor.
  std::string_view bytes;
  std::unique_ptr<char[]> storage;
  std::vector<std::string> texts;  // In place of bytes when the datatype is kBytes.

  // Makes `bytes` storage of its own, not initialised.
  char* Allocate(std::size_t size);
};

// "NaN" or "Infinity" when a tensor holds one, else "".
std::string_view FirstNonFinite(const Tensor& tensor);

}  // namespace ncn::native
