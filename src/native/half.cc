#include "native/half.h"

#include <bit>
#include <cmath>

namespace ncn::native {
namespace {

constexpr int kFractionBits = 10;
constexpr int kExponentMin = -14;  // Of normal numbers.
constexpr int kExponentMax = 15;

}  // namespace

double HalfToDouble(std::uint16_t bits) {
  const int exponent = (bits >> kFractionBits) & 0x1F;
  const int fraction = bits & 0x3FF;
  double magnitude;
  if (exponent == 0x1F) {
    magnitude = fraction == 0 ? HUGE_VAL : std::nan("");
  } else if (exponent == 0) {
    magnitude = std::ldexp(fraction, kExponentMin - kFractionBits);
  } else {
    magnitude = std::ldexp(fraction + 0x400, exponent - kExponentMax - kFractionBits);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::uint16_t DoubleToHalf(double value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const double magnitude = std::fabs(value);
  if (std::isnan(magnitude)) return sign | 0x7E00;
  // The first number that rounds up beyond the largest one.
  if (magnitude >= 65520.0) return sign | 0x7C00;
  if (magnitude == 0) return sign;
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = 0.1… · 2^exponent
  exponent = exponent - 1 < kExponentMin ? kExponentMin : exponent - 1;
  // In units of the last place; the default rounding mode is to nearest, ties to even.
  const auto units =
      static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, kFractionBits - exponent)));
  // A carry out of the fraction is one into the exponent, as it should be.
  const auto biased = static_cast<std::uint32_t>(exponent - kExponentMin) << kFractionBits;
  return static_cast<std::uint16_t>(sign | (biased + units));
}

}  // namespace ncn::native
