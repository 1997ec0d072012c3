"""The Open Inference Protocol's binary extension: JSON, and tensors' bytes behind it.

A tensor with `"parameters": {"binary_data_size": N}` has no `data`; its bytes follow
the JSON, in the order of the tensors: elements in row-major order, little-endian; each
text as its number of bytes (4, little-endian) and UTF-8.
"""

import math
import re
import struct
from typing import Any

import numpy as np

from ncn_executor.datatypes import DATATYPES, datatype_of
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.tensors import Array

CONTENT_TYPE = "application/octet-stream"
SIZE = "binary_data_size"
_TEXT_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


def json_bytes(data: bytes) -> int:
    """How many bytes the JSON object takes that `data` begins with; 0 if none does."""
    depth = 0
    for match in _TEXT_OR_BRACKET.finditer(data):
        first = data[match.start()]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
            if depth <= 0:
                return match.end()
        elif depth == 0:
            return 0
    return 0


class Tail:
    """The bytes behind the JSON, taken tensor by tensor."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def take(self, field: str, size: Any, datatype: str, shape: Any) -> Array:
        """The next `size` bytes as an array of the declared type and shape."""
        field = f"{field}.parameters.{SIZE}"
        left = len(self._data) - self._at
        if type(size) is not int or not 0 <= size <= left:
            found = f"{left} bytes" if type(size) is int else "no whole number"
            raise invalid_input(
                "the bytes behind the JSON are not as many as it says",
                field=field,
                expected=f"{size} bytes" if type(size) is int else "a whole number",
                found=found,
            )
        part = self._data[self._at : self._at + size]
        self._at += size
        if datatype == "BYTES":
            return _texts(field, bytes(part), math.prod(shape)).reshape(shape)
        dtype = np.dtype(DATATYPES[datatype]).newbyteorder("<")
        wanted = math.prod(shape) * dtype.itemsize
        if size != wanted:
            raise _unfilled(field, f"{wanted} bytes for this shape", f"{size} bytes")
        if datatype == "BOOL" and size and max(part) > 1:
            raise _unfilled(field, "bytes of 0 and 1", "others")
        return np.frombuffer(part, dtype).reshape(shape)

    def end(self) -> None:
        """Refuses bytes that no tensor asked for."""
        left = len(self._data) - self._at
        if left:
            raise invalid_input(
                "there are bytes behind the JSON that belong to no tensor",
                field="inputs",
                expected=f"{self._at} bytes, by {SIZE}",
                found=f"{len(self._data)} bytes",
            )


def to_bytes(array: Array) -> bytes:
    """The elements of a tensor, as they follow the JSON."""
    if datatype_of(array) == "BYTES":
        texts = [
            e if isinstance(e, bytes) else str(e).encode("utf-8", "surrogatepass")
            for e in array.reshape(-1).tolist()
        ]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return array.tobytes()


def _texts(field: str, data: bytes, count: int) -> Array:
    """[count] texts."""
    texts: list[str] = []
    at = 0
    while at + 4 <= len(data) and len(texts) < count:
        (size,) = struct.unpack_from("<I", data, at)
        at += 4 + size
        try:
            texts.append(data[at - size : at].decode())
        except UnicodeDecodeError as error:
            raise _unfilled(field, "texts in UTF-8", "other bytes") from error
    if at != len(data) or len(texts) != count:
        raise _unfilled(field, f"{count} texts", "fewer, more, or one cut off")
    array = np.empty(count, object)
    array[:] = texts
    return array


def _unfilled(field: str, expected: str, found: str) -> ExecutorError:
    return invalid_input(
        "the bytes of a tensor do not fill its shape",
        field=field,
        expected=expected,
        found=found,
    )
