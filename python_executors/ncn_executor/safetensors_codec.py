"""Tensors as a safetensors file."""

import json
from typing import Any

import numpy as np

from ncn_executor.datatypes import DATATYPES, datatype_of
from ncn_executor.errors import ErrorCode, ExecutorError, first_line, invalid_input
from ncn_executor.question import Question
from ncn_executor.tensors import Array, Tensors

CONTENT_TYPE = "application/x-safetensors"
# The protocol's datatype -> safetensors' name of it.
_NAMES = {
    "BOOL": "BOOL",
    **{f"{sign}INT{n}": f"{sign or 'I'}{n}" for sign in ("U", "") for n in (8, 16)},
    **{f"{sign}INT{n}": f"{sign or 'I'}{n}" for sign in ("U", "") for n in (32, 64)},
    "FP16": "F16",
    "FP32": "F32",
    "FP64": "F64",
    "BF16": "BF16",
    "FP8E4M3FN": "F8_E4M3",
    "FP8E5M2": "F8_E5M2",
}
_DATATYPES = {name: datatype for datatype, name in _NAMES.items()}


def decode(data: bytes) -> Question:
    """Reads tensors, and the `id` of the file's metadata."""
    import safetensors

    try:
        # Checks the whole of the header, and makes one copy of the data.
        parts: dict[str, Any] = dict(safetensors.deserialize(data))
    except safetensors.SafetensorError as error:
        raise invalid_input(
            "the request is not a whole safetensors file",
            expected=CONTENT_TYPE,
            found=first_line(error)[:200],
        ) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors: Tensors = {}
    # A file lists its tensors by offset; the header keeps the writer's order.
    for name in header:
        if name == "__metadata__":
            continue
        part = parts[name]
        datatype = _DATATYPES.get(part["dtype"])
        if datatype is None:
            raise invalid_input(
                "the safetensors file holds a datatype that cannot be read",
                field=f"inputs.{name[:80]}.datatype",
                expected=", ".join(_DATATYPES),
                found=str(part["dtype"])[:80],
            )
        elements = np.frombuffer(part["data"], np.dtype(DATATYPES[datatype]))
        tensors[name] = elements.reshape(part["shape"])
    identifier = str(header.get("__metadata__", {}).get("id", ""))[:256]
    return Question(tensors, identifier)


def encode(
    outputs: Tensors, model_name: str, model_version: str, identifier: str
) -> bytes:
    """Writes tensors; NaN and infinities pass unchanged.

    Equal answers are equal bytes, in the order of the outputs.
    """
    metadata = {"model_name": model_name, "model_version": model_version}
    metadata["id"] = identifier
    header: dict[str, Any] = {"__metadata__": {k: v for k, v in metadata.items() if v}}
    for name, array in outputs.items():
        header[name] = {"dtype": _name(name, array), "shape": list(array.shape)}
    parts: list[bytes] = []
    at = 0
    # The widest first, so that every element is aligned.
    for name in sorted(outputs, key=lambda name: -outputs[name].dtype.itemsize):
        parts.append(outputs[name].tobytes())
        header[name]["data_offsets"] = [at, at + len(parts[-1])]
        at += len(parts[-1])
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def _name(name: str, array: Array) -> str:
    """The file's name for the type of an output."""
    datatype = datatype_of(array)
    if datatype in _NAMES:
        return _NAMES[datatype]
    what = "texts" if datatype == "BYTES" else datatype or str(array.dtype)
    raise ExecutorError(
        ErrorCode.INVALID_INPUT,
        f"the output '{name}' holds {what}, which safetensors cannot: ask for "
        "application/json",
        field=f"outputs.{name}",
        expected="numbers, or accept application/json",
        found=datatype or str(array.dtype),
    )
