#include "native/json_tensor.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "native/half.h"

namespace ncn::native {
namespace {

using Kind = JsonValue::Kind;

ExecutorError Mixed(const std::string& field, Datatype datatype) {
  const std::string wanted = datatype == Datatype::kBytes ? "texts" : std::string(Name(datatype));
  return InvalidInput("the data is not a regular list", field,
                      wanted + ", in lists of equal length",
                      "elements of several types, or lists of several lengths");
}

ExecutorError OutOfRange(const std::string& field, Datatype datatype) {
  return InvalidInput("a number does not fit the datatype", field,
                      "numbers within " + std::string(Name(datatype)), "one outside");
}

ExecutorError OtherType(const std::string& field, Datatype datatype, std::string_view found) {
  return InvalidInput("the data has elements of another type", field, std::string(Name(datatype)),
                      std::string(found));
}

// What nested lists hold: their shape, when it is regular, and which kinds of elements.
class Survey {
 public:
  explicit Survey(const JsonValue::List& list) { regular_ = Look(list, 0); }

  bool regular() const { return regular_; }
  std::size_t rank() const { return rank_; }
  Shape shape() const { return {sizes_.begin(), sizes_.begin() + rank_}; }
  std::uint64_t count() const { return count_; }
  bool has(Kind kind) const { return (kinds_ >> static_cast<unsigned>(kind) & 1U) != 0; }
  // Whether all elements are among these; true when there is none.
  bool only(std::initializer_list<Kind> kinds) const {
    unsigned others = kinds_;
    for (const Kind kind : kinds) others &= ~(1U << static_cast<unsigned>(kind));
    return others == 0;
  }

 private:
  bool Look(const JsonValue::List& list, std::size_t depth) {
    const auto size = static_cast<std::int64_t>(list.size());
    if (depth == rank_) {
      if (bottom_) return false;  // A list where there was an element.
      sizes_[rank_++] = size;
    } else if (sizes_[depth] != size) {
      return false;
    }
    for (const JsonValue& element : list) {
      if (element.is(Kind::kList)) {
        if (!Look(element.list(), depth + 1)) return false;
        continue;
      }
      if (depth + 1 != rank_) return false;  // An element where there was a list.
      bottom_ = true;
      kinds_ |= 1U << static_cast<unsigned>(element.kind());
      ++count_;
    }
    return true;
  }

  std::array<std::int64_t, kJsonDepthMax> sizes_{};  // Nothing parsed nests deeper.
  std::size_t rank_ = 0;
  std::uint64_t count_ = 0;
  unsigned kinds_ = 0;
  bool bottom_ = false;  // An element was seen, so that lists cannot go deeper.
  bool regular_ = false;
};

template <typename Visit>
void VisitElements(const JsonValue::List& list, const Visit& visit) {
  for (const JsonValue& element : list) {
    element.is(Kind::kList) ? VisitElements(element.list(), visit) : visit(element);
  }
}

// A number as an element of a float type; infinite when it is too large for it.
template <typename Number, typename Element>
Element Rounded(Number value) {
  if constexpr (std::is_same_v<Element, std::uint16_t>) {
    return DoubleToHalf(static_cast<double>(value));
  } else {
    return static_cast<Element>(value);
  }
}

// False when a finite number became an infinite one.
template <typename Element>
bool FillFloats(const JsonValue::List& list, bool has_floats, char* out) {
  bool fits = true;
  VisitElements(list, [&](const JsonValue& value) {
    Element element;
    if (value.is(Kind::kFloat)) {
      element = Rounded<double, Element>(value.number());
    } else if (value.is(Kind::kUnsigned)) {
      element = Rounded<std::uint64_t, Element>(value.unsigned_integer());
    } else {
      const std::int64_t whole = value.is(Kind::kBool) ? value.boolean() : value.integer();
      // Beside a float, integers are doubles first.
      element = has_floats ? Rounded<double, Element>(static_cast<double>(whole))
                           : Rounded<std::int64_t, Element>(whole);
    }
    if constexpr (std::is_same_v<Element, std::uint16_t>) {
      fits &=
          (element & 0x7FFF) != 0x7C00 || (value.is(Kind::kFloat) && std::isinf(value.number()));
    } else {
      fits &= !std::isinf(element) || (value.is(Kind::kFloat) && std::isinf(value.number()));
    }
    std::memcpy(out, &element, sizeof(element));
    out += sizeof(element);
  });
  return fits;
}

// False when a number lies outside of the type.
template <typename Element>
bool FillIntegers(const JsonValue::List& list, char* out) {
  bool fits = true;
  VisitElements(list, [&](const JsonValue& value) {
    Element element = 0;
    if (value.is(Kind::kUnsigned)) {
      element = static_cast<Element>(value.unsigned_integer());
      fits &= std::is_same_v<Element, std::uint64_t>;
    } else {
      const std::int64_t whole = value.is(Kind::kBool) ? value.boolean() : value.integer();
      element = static_cast<Element>(whole);
      fits &= std::in_range<Element>(whole);
    }
    std::memcpy(out, &element, sizeof(element));
    out += sizeof(element);
  });
  return fits;
}

bool Fill(const JsonValue::List& list, bool has_floats, Datatype datatype, char* out) {
  switch (datatype) {
    case Datatype::kBool:
    case Datatype::kUint8:
      return FillIntegers<std::uint8_t>(list, out);
    case Datatype::kInt8:
      return FillIntegers<std::int8_t>(list, out);
    case Datatype::kInt16:
      return FillIntegers<std::int16_t>(list, out);
    case Datatype::kInt32:
      return FillIntegers<std::int32_t>(list, out);
    case Datatype::kInt64:
      return FillIntegers<std::int64_t>(list, out);
    case Datatype::kUint16:
      return FillIntegers<std::uint16_t>(list, out);
    case Datatype::kUint32:
      return FillIntegers<std::uint32_t>(list, out);
    case Datatype::kUint64:
      return FillIntegers<std::uint64_t>(list, out);
    case Datatype::kFp16:
      return FillFloats<std::uint16_t>(list, has_floats, out);
    case Datatype::kFp32:
      return FillFloats<float>(list, has_floats, out);
    case Datatype::kFp64:
      return FillFloats<double>(list, has_floats, out);
    case Datatype::kBytes:
      break;
  }
  return false;
}

// Whether the elements are of a kind that the datatype takes.
std::optional<ExecutorError> CheckKinds(const std::string& field, const Survey& survey,
                                        Datatype datatype) {
  const bool numbers =
      survey.only({Kind::kBool, Kind::kInteger, Kind::kUnsigned, Kind::kHugeInteger, Kind::kFloat});
  if (!numbers) return OtherType(field, datatype, "other elements");
  const bool booleans = survey.only({Kind::kBool});
  if (datatype == Datatype::kBool) {
    if (booleans) return std::nullopt;
    return OtherType(field, datatype, survey.has(Kind::kFloat) ? "numbers" : "integers");
  }
  if (booleans) return OtherType(field, datatype, "booleans");
  if (survey.has(Kind::kHugeInteger)) return OutOfRange(field, datatype);
  if (survey.has(Kind::kFloat) && !IsFloat(datatype)) return OtherType(field, datatype, "numbers");
  return std::nullopt;
}

}  // namespace

std::optional<ExecutorError> FillFromJson(const std::string& field, const JsonValue& data,
                                          Tensor& tensor) {
  if (!data.is(Kind::kList)) {
    return InvalidInput("the data is not a list", field, "a list", std::string(data.Describe()));
  }
  const Survey survey(data.list());
  if (!survey.regular()) return Mixed(field, tensor.datatype);
  const bool nested = survey.rank() > 1;
  // No list of the request has more elements than fit here.
  const auto count = CountElements(tensor.shape, std::numeric_limits<std::int64_t>::max());
  if (count != survey.count() || (nested && survey.shape() != tensor.shape)) {
    return InvalidInput("the data does not fill the shape", field,
                        (count ? std::to_string(*count) : "too many") + " elements for shape " +
                            ShapeText(tensor.shape),
                        nested ? "nested lists of shape " + ShapeText(survey.shape())
                               : std::to_string(survey.count()) + " elements");
  }
  if (survey.count() == 0) {
    tensor.Allocate(0);
    return std::nullopt;
  }
  if (tensor.datatype == Datatype::kBytes) {
    if (!survey.only({Kind::kText})) return Mixed(field, tensor.datatype);
    VisitElements(data.list(),
                  [&](const JsonValue& value) { tensor.texts.push_back(value.text()); });
    return std::nullopt;
  }
  if (auto error = CheckKinds(field, survey, tensor.datatype)) return error;
  char* const out = tensor.Allocate(survey.count() * SizeOf(tensor.datatype));
  const bool has_floats = survey.has(Kind::kFloat);
  const bool fits = Fill(data.list(), has_floats, tensor.datatype, out);
  // Integers that are infinite as floats are found by the look for numbers that are not finite.
  if (!fits && (has_floats || !IsFloat(tensor.datatype))) {
    return OutOfRange(field, tensor.datatype);
  }
  return std::nullopt;
}

}  // namespace ncn::native
