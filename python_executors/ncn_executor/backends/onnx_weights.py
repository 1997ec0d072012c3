"""Weights of ONNX models that are not numbers.

Walks the file as src/native/onnx_weights.cc does: onnx itself is not there to read it,
and ONNX Runtime does not tell.
"""

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import ModelFile
from ncn_executor.tensors import Array

# Of onnx.proto3.
_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_TYPE, _FLOATS, _WHOLES, _NAME, _RAW, _DOUBLES, _EXTERNAL = 2, 4, 5, 8, 9, 10, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_PIECE = 1 << 18
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Element type -> numpy's whole numbers of its size, the bits of infinity, and the field
# that holds such elements where they are not raw.
_FLOAT_TYPES = {
    1: ("<u4", 0x7F800000, _FLOATS),
    10: ("<u2", 0x7C00, _WHOLES),
    11: ("<u8", 0x7FF0000000000000, _DOUBLES),
    16: ("<u2", 0x7F80, _WHOLES),
}


def refuse_nan(model: ModelFile) -> None:
    """Weights that are not numbers would make every answer so. Those of the graph
    count, not a lone number, which is a constant; what is damaged is passed over."""
    files = _Files(model.path.parent)
    for part in _fields(files.map(model.path.name)):
        if (part.number, part.wire) != (_MODEL_GRAPH, _BYTES):
            continue
        for field in _fields(part.content):
            if (field.number, field.wire) == (_GRAPH_INITIALIZER, _BYTES):
                _check(model, _read(field.content), files)


class _Files:
    """Files beside a model, as they lie in the page cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mapped: dict[str, memoryview] = {}

    def map(self, name: str) -> memoryview:
        """The bytes of a file; none where it is not there."""
        if name not in self._mapped:
            try:
                with (self._folder / name).open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    view = memoryview(mapped)
            except (OSError, ValueError):  # Not there, or empty.
                view = memoryview(b"")
            self._mapped[name] = view
        return self._mapped[name]


class _Initializer:
    """What a TensorProto has of interest here.

    Attributes:
        element: the number of its type.
        parts: its data, by the field that holds them.
        external: where else they are: location, offset and length.
    """

    def __init__(self) -> None:
        self.name = ""
        self.element = 0
        self.parts: dict[int, list[memoryview]] = {}
        self.external = {"location": "", "offset": "0", "length": "0"}


def _read(message: memoryview) -> _Initializer:
    tensor = _Initializer()
    for field in _fields(message):
        if field.wire == _VARINT:
            if field.number == _TYPE:
                tensor.element = field.value
        elif field.number == _NAME:
            tensor.name = bytes(field.content).decode(errors="replace")
        elif field.number == _EXTERNAL:
            entry = {
                f.number: bytes(f.content).decode(errors="replace")
                for f in _fields(field.content)
            }
            tensor.external[entry.get(_ENTRY_KEY, "")] = entry.get(_ENTRY_VALUE, "")
        else:
            tensor.parts.setdefault(field.number, []).append(field.content)
    return tensor


def _check(model: ModelFile, tensor: _Initializer, files: _Files) -> None:
    """Refuses one initializer."""
    if tensor.element not in _FLOAT_TYPES:
        return
    dtype, infinity, typed = _FLOAT_TYPES[tensor.element]
    dense = list(tensor.parts.get(_RAW, []))
    if tensor.external["location"]:
        data = files.map(tensor.external["location"])
        dense.append(_part(data, tensor.external))
    size = np.dtype(dtype).itemsize
    arrays: list[Array] = []
    if size == 2:
        arrays += [_narrowed(part) for part in tensor.parts.get(typed, [])]
    else:
        dense += tensor.parts.get(typed, [])
    arrays += [np.frombuffer(p, dtype, len(p) // size) for p in dense if len(p) >= size]
    nans = sum(_count_nan(array, infinity) for array in arrays)
    count = sum(array.size for array in arrays)
    if nans and count > 1:
        raise ExecutorError(
            ErrorCode.INVALID_MODEL,
            f"the weights in {model.path.name} are not all numbers",
            field=f"weights.{tensor.name}",
            expected="numbers",
            found=f"{nans} NaN of {count}",
            path=str(model.path),
        )


def _count_nan(bits: Array, infinity: int) -> int:
    """Beyond infinity, without the sign, there is no number. Piece by piece, for each
    is copied."""
    magnitude = np.array((1 << (8 * bits.itemsize - 1)) - 1, bits.dtype)
    return sum(
        int(np.count_nonzero((bits[at : at + _PIECE] & magnitude) > infinity))
        for at in range(0, bits.size, _PIECE)
    )


def _part(data: memoryview, external: dict[str, str]) -> memoryview:
    """What an initializer has of a file beside the model."""
    try:
        offset, length = int(external["offset"]), int(external["length"])
    except ValueError:
        return data[:0]
    return data[offset : offset + length] if length else data[offset:]


def _narrowed(packed: memoryview) -> Array:
    """Half-wide floats that stand as whole numbers."""
    numbers, at = [], 0
    while at < len(packed):
        number, at = _varint(packed, at)
        numbers.append(number & 0xFFFF)
    return np.array(numbers, "<u2")


class _Field(NamedTuple):
    """One field of a protobuf message; a number of its own, or bytes."""

    number: int
    wire: int
    value: int
    content: memoryview


def _fields(message: memoryview) -> Iterator[_Field]:
    """One after the other, until the end or what is damaged."""
    at = 0
    with contextlib.suppress(IndexError, KeyError):
        while at < len(message):
            tag, at = _varint(message, at)
            number, wire, value = tag >> 3, tag & 7, 0
            if wire in (_VARINT, _BYTES):
                value, at = _varint(message, at)
            size = {_FIXED64: 8, _FIXED32: 4, _BYTES: value, _VARINT: 0}[wire]
            if size > len(message) - at:
                return
            yield _Field(number, wire, value, message[at : at + size])
            at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where what follows it begins."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError
