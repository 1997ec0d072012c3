"""Floats that numpy lacks: bfloat16, and the 8-bit ones of ONNX: OCP's OFP8, and
"UZ", which have no negative zero (arXiv:2206.02915).

An array of them has a dtype of one field, named after the datatype, of the bits.
"""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from ncn_executor.datatypes import DATATYPES, datatype_of, is_narrow

Array = npt.NDArray[Any]
# Datatype -> bits of the mantissa, exponent's bias.
_EIGHT_BITS = {
    "FP8E4M3FN": (3, 7),
    "FP8E4M3FNUZ": (3, 8),
    "FP8E5M2": (2, 15),
    "FP8E5M2FNUZ": (2, 16),
}


def bits(array: Array) -> Array:
    """The bits of narrow floats, as unsigned integers; shares memory."""
    return array[datatype_of(array)]


def from_bits(values: Array, datatype: str) -> Array:
    """Narrow floats of unsigned integers of the same width; shares memory if it can."""
    return np.asarray(values, order="C").view(DATATYPES[datatype])


def widen(array: Array) -> Array:
    """The same values as float32, exactly; other arrays as they are."""
    datatype = datatype_of(array)
    if not is_narrow(datatype):
        return array
    if datatype == "BF16":
        wide = bits(array).astype(np.uint32) << np.uint32(16)
        return np.asarray(wide).view(np.float32)
    return np.asarray(_values(datatype)[bits(array)])


def narrow(array: Array, datatype: str) -> Array:
    """Rounds numbers to the nearest, ties to even; what is too large becomes the
    datatype's infinity, or NaN where it has none."""
    wide = np.asarray(array, np.float32)
    if datatype == "BF16":
        raw = wide.view(np.uint32).astype(np.uint64)
        rounded = (raw + 0x7FFF + ((raw >> 16) & 1)) >> 16
        found = np.where(np.isnan(wide), np.uint64(0x7FC0), rounded).astype(np.uint16)
        return from_bits(found, datatype)
    return from_bits(_nearest(wide, datatype), datatype)


@functools.cache
def _values(datatype: str) -> Array:
    """What each of the 256 bytes means, [256] float32."""
    mantissa_bits, bias = _EIGHT_BITS[datatype]
    codes = np.arange(256)
    sign = np.where(codes >= 128, -1.0, 1.0)
    exponent = (codes & 0x7F) >> mantissa_bits
    fraction = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    scale = np.exp2(np.maximum(exponent, 1) - float(bias))
    values = sign * scale * (fraction + (exponent > 0))
    if datatype.endswith("UZ"):
        values[128] = np.nan
    elif datatype == "FP8E4M3FN":
        values[[127, 255]] = np.nan
    else:
        values[[124, 252]] = np.inf, -np.inf
        values[[125, 126, 127, 253, 254, 255]] = np.nan
    result: Array = values.astype(np.float32)
    return result


def _nearest(wide: Array, datatype: str) -> Array:
    """The byte whose value is nearest, of the even ones in a tie."""
    half = _values(datatype)[:128]
    finite = half[np.isfinite(half)]
    size = np.abs(wide.astype(np.float64))
    above = np.clip(np.searchsorted(finite, size), 1, len(finite) - 1)
    low, high = finite[above - 1].astype(np.float64), finite[above].astype(np.float64)
    middle = (low + high) / 2
    up = (size > middle) | ((size == middle) & (above % 2 == 0))
    found = np.where(up, above, above - 1)
    # Past the half of a step that would follow the largest.
    limit = finite[-1] + (finite[-1] - finite[-2]) / 2
    beyond = np.isnan(size) | (size >= limit)
    out = 128 if datatype.endswith("UZ") else 127
    if datatype == "FP8E5M2":
        found = np.where(size >= limit, 124, found)
        beyond = np.isnan(size)
    negative = np.signbit(wide) & ((found > 0) | (not datatype.endswith("UZ")))
    found = np.where(beyond, out, found + 128 * (negative & ~beyond))
    return np.asarray(found).astype(np.uint8)
