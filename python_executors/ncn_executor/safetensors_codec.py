"""Tensors as a safetensors file."""

import json

import numpy as np

from ncn_executor.datatypes import DATATYPES, datatype_of
from ncn_executor.errors import ErrorCode, ExecutorError, first_line, invalid_input
from ncn_executor.question import Question
from ncn_executor.tensors import Array, Tensors

CONTENT_TYPE = "application/x-safetensors"


def decode(data: bytes) -> Question:
    """Reads tensors, and the `id` of the file's metadata."""
    import safetensors
    import safetensors.numpy

    try:
        tensors: Tensors = dict(safetensors.numpy.load(data))
    except safetensors.SafetensorError as error:
        raise invalid_input(
            "the request is not a whole safetensors file",
            expected=CONTENT_TYPE,
            found=first_line(error)[:200],
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise invalid_input(
            "the safetensors file holds a datatype that cannot be read",
            expected=", ".join(DATATYPES),
            found=first_line(error)[:80],
        ) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    # A file lists its tensors by offset; the header keeps the writer's order.
    order = [name for name in header if name != "__metadata__"]
    identifier = str(header.get("__metadata__", {}).get("id", ""))[:256]
    return Question({name: tensors[name] for name in order}, identifier)


def encode(
    outputs: Tensors, model_name: str, model_version: str, identifier: str
) -> bytes:
    """Writes tensors; NaN and infinities pass unchanged.

    Equal answers are equal bytes: the library's own order of the metadata is another
    one in each process.
    """
    import safetensors.numpy

    metadata = {"model_name": model_name, "model_version": model_version}
    metadata["id"] = identifier
    plain: dict[str, Array] = {}
    for name, array in outputs.items():
        if datatype_of(array) in ("BYTES", ""):
            raise ExecutorError(
                ErrorCode.INVALID_INPUT,
                f"the output '{name}' holds texts, which safetensors cannot: ask for "
                "application/json",
                field=f"outputs.{name}",
                expected="numbers, or accept application/json",
                found=str(array.dtype),
            )
        plain[name] = np.asarray(array, order="C")  # A scalar stays one.
    kept = {key: value for key, value in metadata.items() if value}
    data = safetensors.numpy.save(plain, metadata=kept)
    end = 8 + int.from_bytes(data[:8], "little")
    header = {**json.loads(data[8:end]), "__metadata__": kept}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # Tensors stay aligned.
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[end:]))
