"""Tensors in JSON, read by the library that every zygote has loaded.

Python's json makes an object of each number, which takes most of the time of a small
request. The library reads the same requests to the same tensors; whatever it does not
take, a wrong request or one with texts, it leaves to Python.
"""

import ctypes
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from ncn_executor.datatypes import DATATYPES
from ncn_executor.question import Question

_HEAD_BYTES = 8


def decoder(library: Any) -> Callable[[bytes], Question | None]:
    """The function that reads a request, or gives None.

    Args:
        library: a ctypes library with ncn_json_tensors and ncn_json_tensors_free.
    """
    read, free = library.ncn_json_tensors, library.ncn_json_tensors_free
    read.restype = ctypes.c_void_p
    read.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_size_t),
    )
    free.restype, free.argtypes = None, (ctypes.c_void_p,)
    size = ctypes.c_size_t()
    size_pointer = ctypes.pointer(size)

    def decode(data: bytes) -> Question | None:
        memory = read(data, len(data), size_pointer)
        if not memory:
            return None
        try:
            found = ctypes.string_at(memory, size.value)
        finally:
            free(memory)
        start = _HEAD_BYTES + int.from_bytes(found[:_HEAD_BYTES], "little")
        header = json.loads(found[_HEAD_BYTES:start])
        tensors = {}
        for name, datatype, shape, offset in header["tensors"]:
            dtype = np.dtype(DATATYPES[datatype])
            count = 1
            for length in shape:
                count *= length
            flat = np.frombuffer(found, dtype, count, start + offset)
            tensors[name] = flat.reshape(shape)
        return Question(tensors, header["id"], tuple(header["outputs"]))

    return decode
