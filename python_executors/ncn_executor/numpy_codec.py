"""Tensors as numpy's .npy and .npz files, never with pickles."""

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from ncn_executor.datatypes import DATATYPES, datatype_of
from ncn_executor.errors import ErrorCode, ExecutorError, first_line, invalid_input
from ncn_executor.manifest import TensorSpec
from ncn_executor.narrow_floats import widen
from ncn_executor.question import Question
from ncn_executor.tensors import Array, Tensors

NPY, NPZ = "application/x-npy", "application/x-npz"
ARRAYS_MAX = 4096
# Of all arrays together; a zip archive can claim to be far larger than it is.
BYTES_MAX = 1 << 30


def decode(data: bytes, content_type: str, specs: Sequence[TensorSpec]) -> Question:
    """Reads the one array of a .npy, which is the model's only input, or all of a
    .npz, by name."""
    try:
        if content_type == NPZ:
            return Question(_read_archive(data))
        if len(specs) > 1:
            raise invalid_input(
                "a .npy holds one array, but this model takes several inputs",
                field="content_type",
                expected=NPZ,
                found=NPY,
            )
        name = specs[0].name if specs else "input_0"
        return Question({name: _read_array(name, data)})
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise invalid_input(
            f"the request is no file of plain numpy arrays: {first_line(error)[:200]}",
            field="input",
            expected=content_type,
            found=f"{len(data)} bytes of something else, or pickled objects",
        ) from error


def encode(outputs: Tensors, content_type: str) -> bytes:
    """Writes arrays; equal answers are equal bytes. bfloat16 becomes float32."""
    if content_type == NPY:
        if len(outputs) != 1:
            raise invalid_input(
                "a .npy holds one array, but the answer has several",
                field="accept",
                expected=f"{NPZ}, or one output wanted",
                found=f"{NPY} for {len(outputs)} outputs",
            )
        return _write_array(next(iter(outputs.values())))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, array in outputs.items():
            # A date of its own would make each answer another one.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, _write_array(array))
    return target.getvalue()


def _read_archive(data: bytes) -> Tensors:
    tensors: Tensors = {}
    left = BYTES_MAX
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if len(entries) > ARRAYS_MAX:
            raise ValueError(f"more than {ARRAYS_MAX} arrays")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in tensors:
                raise ValueError("an array of the same name twice")
            if entry.flag_bits & 1:
                raise ValueError("an encrypted archive")
            with archive.open(entry) as file:
                content = file.read(left + 1)
            left -= len(content)
            if left < 0:
                raise ExecutorError(
                    ErrorCode.INPUT_TOO_LARGE,
                    "the arrays are too large when they are unpacked",
                    field="input",
                    expected=f"at most {BYTES_MAX} bytes",
                    found="more",
                )
            tensors[name] = _read_array(name, content)
    return tensors


def _read_array(name: str, data: bytes) -> Array:
    """One array, in the machine's byte order."""
    read: Any = np.lib.format.read_array
    array: Array = read(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind == "U":
        return array.astype(object)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not datatype_of(array) or array.dtype.kind in "SV":
        raise invalid_input(
            f"the input '{name[:80]}' has a type that no model takes",
            field=f"inputs.{name[:80]}.datatype",
            expected=", ".join(DATATYPES),
            found=str(array.dtype)[:80],
        )
    return np.asarray(array, order="C")


def _write_array(array: Array) -> bytes:
    if array.dtype.kind in "OS":
        texts = [
            e.decode("utf-8", "replace") if isinstance(e, bytes) else str(e)
            for e in array.reshape(-1).tolist()
        ]
        array = np.array(texts, dtype=np.str_).reshape(array.shape)
    target = io.BytesIO()
    write: Any = np.lib.format.write_array
    write(target, widen(array), allow_pickle=False)
    return target.getvalue()
