#pragma once

#include <cstdint>

namespace ncn::native {

// IEEE 754 binary16, as its 16 bits.
double HalfToDouble(std::uint16_t bits);
// Rounds to nearest, ties to even; what is too large becomes an infinity.
std::uint16_t DoubleToHalf(double value);

}  // namespace ncn::native
