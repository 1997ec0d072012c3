"""Tensors as the JSON of the Open Inference Protocol (version 2, REST)."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ncn_executor.datatypes import DATATYPES, datatype_of, is_float
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.manifest import RANK_MAX, TensorSpec
from ncn_executor.question import Question
from ncn_executor.tensors import Array, Tensors, first_non_finite, shape_text

CONTENT_TYPE = "application/json"
INPUTS_MAX = 256
DEPTH_MAX = 64
_KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "numbers"}


# Reads plain tensors faster than Python, where a zygote has found it; None leaves a
# request to Python.
fast_decode: Callable[[bytes], Question | None] | None = None


def decode(data: bytes) -> Question:
    """Reads a request; says where it is wrong when it is."""
    if fast_decode is not None and b'"parameters"' not in data:
        question = fast_decode(data)
        if question is not None:
            return question
    body = _parse(data)
    if not isinstance(body, dict):
        raise invalid_input(
            "the request is not an object",
            expected='{"inputs": [...]}',
            found=_kind(body),
        )
    items = body.get("inputs")
    if not isinstance(items, list) or not 1 <= len(items) <= INPUTS_MAX:
        raise invalid_input(
            "the request lists no inputs",
            field="inputs",
            expected=f"a list of 1 to {INPUTS_MAX} tensors",
            found=f"{len(items)} tensors" if isinstance(items, list) else _kind(items),
        )
    tensors: Tensors = {}
    for index, item in enumerate(items):
        name, array = _tensor(f"inputs[{index}]", item)
        if name in tensors:
            raise invalid_input(
                f"the input '{name}' is given twice",
                field=f"inputs[{index}].name",
                expected="each name once",
                found="twice",
            )
        tensors[name] = array
    identifier = body.get("id", "")
    if not isinstance(identifier, str) or len(identifier) > 256:
        raise invalid_input(
            "the id cannot be used",
            field="id",
            expected="a text of at most 256 characters",
            found=_kind(identifier),
        )
    return Question(tensors, identifier, _wanted_outputs(body))


def encode(
    outputs: Tensors,
    specs: dict[str, TensorSpec],
    model_name: str,
    model_version: str,
    identifier: str,
) -> bytes:
    """Writes an answer; every number in it reads back to the same bits."""
    answer: dict[str, Any] = {"model_name": model_name}
    if model_version:
        answer["model_version"] = model_version
    answer["id"] = identifier
    answer["outputs"] = [
        _output(name, array, specs.get(name)) for name, array in outputs.items()
    ]
    return json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()


def _parse(data: bytes) -> Any:
    """JSON, with the place of the first mistake."""
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise invalid_input(
            "the request is not UTF-8", expected="UTF-8", found=f"byte {error.start}"
        ) from error
    except json.JSONDecodeError as error:
        raise invalid_input(
            f"malformed JSON in line {error.lineno}, column {error.colno}: {error.msg}",
            field=f"line {error.lineno}, column {error.colno}",
            expected="JSON",
            found=error.msg,
        ) from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # An integer of more than 4300 digits.
        raise invalid_input(
            "a number in the request is too long", expected="64 bits", found="more"
        ) from error


def _tensor(field: str, item: Any) -> tuple[str, Array]:
    """One tensor of the request."""
    if not isinstance(item, dict):
        raise invalid_input(
            "an input is not an object",
            field=field,
            expected='{"name", "shape", "datatype", "data"}',
            found=_kind(item),
        )
    for key in ("name", "shape", "datatype", "data"):
        if key not in item:
            raise invalid_input(
                f"'{key}' is missing",
                field=f"{field}.{key}",
                expected="name, shape, datatype and data",
                found=", ".join(str(k)[:40] for k in list(item)[:8]) or "nothing",
            )
    name, datatype = item["name"], item["datatype"]
    if not isinstance(name, str) or not 1 <= len(name) <= 256:
        raise invalid_input(
            "an input has no usable name",
            field=f"{field}.name",
            expected="a text of 1 to 256 characters",
            found=_kind(name),
        )
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise invalid_input(
            f"the datatype of '{name}' is not known",
            field=f"{field}.datatype",
            expected=", ".join(DATATYPES),
            found=repr(datatype[:40]) if isinstance(datatype, str) else _kind(datatype),
        )
    shape = _shape(f"{field}.shape", item["shape"])
    return name, _array(f"{field}.data", item["data"], datatype, shape)


def _shape(field: str, value: Any) -> tuple[int, ...]:
    """A list of dimensions."""
    if (
        isinstance(value, list)
        and len(value) <= RANK_MAX
        and all(type(d) is int and 0 <= d < 2**63 for d in value)
    ):
        return tuple(value)
    raise invalid_input(
        "a shape cannot be used",
        field=field,
        expected=f"a list of at most {RANK_MAX} whole numbers",
        found=_kind(value) if not isinstance(value, list) else "other elements",
    )


def _array(field: str, data: Any, datatype: str, shape: tuple[int, ...]) -> Array:
    """Flat or nested data as an array of the declared type and shape."""
    if not isinstance(data, list):
        raise invalid_input(
            "the data is not a list", field=field, expected="a list", found=_kind(data)
        )
    try:
        raw = np.array(data, dtype=object if datatype == "BYTES" else None)
        if datatype == "UINT64" and raw.dtype.kind == "f":
            # numpy makes floats of a list whose integers need both signs' types.
            raw = np.array(data, dtype=object)
    except (ValueError, OverflowError) as error:
        if "maximum number of dimension" in str(error).lower():
            raise _too_deep() from error
        raise _mixed(field, datatype) from error
    count = math.prod(shape)
    if raw.size != count or (raw.ndim > 1 and raw.shape != shape):
        nested = raw.ndim > 1
        raise invalid_input(
            "the data does not fill the shape",
            field=field,
            expected=f"{count} elements for shape {shape_text(shape)}",
            found=(
                f"nested lists of shape {shape_text(raw.shape)}"
                if nested
                else f"{raw.size} elements"
            ),
        )
    return _typed(field, raw, datatype).reshape(shape)


def _typed(field: str, raw: Array, datatype: str) -> Array:
    """Converts without changing a value, but for rounding to a float type."""
    if raw.size == 0:
        return raw.astype(DATATYPES[datatype])
    if datatype == "BYTES":
        if not all(isinstance(element, str) for element in raw.flat):
            raise _mixed(field, datatype)
        return raw
    kind = raw.dtype.kind
    allowed = "b" if datatype == "BOOL" else "iuf" if is_float(datatype) else "iu"
    if kind == "O" and _all_integers(raw):
        if datatype == "UINT64" and 0 <= min(raw.flat) and max(raw.flat) < 2**64:
            return raw.astype(np.uint64)
        raise _out_of_range(field, datatype)
    if kind not in allowed:
        raise invalid_input(
            "the data has elements of another type",
            field=field,
            expected=datatype,
            found=_KINDS.get(kind, "other elements"),
        )
    if datatype not in ("BOOL",) and not is_float(datatype):
        limits = np.iinfo(DATATYPES[datatype])
        if int(raw.min()) < limits.min or int(raw.max()) > limits.max:
            raise _out_of_range(field, datatype)
    with np.errstate(over="ignore"):
        typed: Array = raw.astype(DATATYPES[datatype])
    if kind == "f" and first_non_finite(typed) and not first_non_finite(raw):
        raise _out_of_range(field, datatype)
    return typed


def _all_integers(raw: Array) -> bool:
    """Whether Python integers is all there is, however large."""
    elements: list[Any] = raw.reshape(-1).tolist()
    return all(type(element) is int for element in elements)


def _wanted_outputs(body: dict[str, Any]) -> tuple[str, ...]:
    """The names that the request asks for; none means all."""
    items = body.get("outputs", [])
    if isinstance(items, list) and len(items) <= INPUTS_MAX:
        names = [item.get("name") if isinstance(item, dict) else None for item in items]
        if all(isinstance(name, str) for name in names):
            return tuple(str(name) for name in names)
    raise invalid_input(
        "the list of outputs cannot be used",
        field="outputs",
        expected='a list of {"name": ...}',
        found=_kind(items) if not isinstance(items, list) else "other elements",
    )


def _output(name: str, array: Array, spec: TensorSpec | None) -> dict[str, Any]:
    """One tensor of the answer."""
    bad = first_non_finite(array)
    if bad:
        raise invalid_input(
            f"the output '{name}' holds {bad}, which JSON cannot say: ask for "
            "application/x-safetensors",
            field=f"outputs.{name}",
            expected="finite numbers, or accept application/x-safetensors",
            found=bad,
        )
    output: dict[str, Any] = {
        "name": name,
        "shape": list(array.shape),
        "datatype": datatype_of(array),
        "data": _plain(array),
    }
    if spec is not None and spec.labels:
        output["parameters"] = {"labels": list(spec.labels)}
    return output


def _plain(array: Array) -> list[Any]:
    """Elements as JSON values, in row-major order."""
    flat: list[Any] = array.reshape(-1).tolist()
    if array.dtype.kind in "OS":
        return [e.decode("utf-8", "replace") if type(e) is bytes else e for e in flat]
    return flat


def _kind(value: Any) -> str:
    """A JSON value's type in JSON's words; never the value."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    names.update({int: "a number", float: "a number", type(None): "nothing"})
    return names.get(type(value), "another type")


def _mixed(field: str, datatype: str) -> ExecutorError:
    wanted = "texts" if datatype == "BYTES" else datatype
    return invalid_input(
        "the data is not a regular list",
        field=field,
        expected=f"{wanted}, in lists of equal length",
        found="elements of several types, or lists of several lengths",
    )


def _out_of_range(field: str, datatype: str) -> ExecutorError:
    return invalid_input(
        "a number does not fit the datatype",
        field=field,
        expected=f"numbers within {datatype}",
        found="one outside",
    )


def _too_deep() -> ExecutorError:
    return invalid_input(
        "the request is nested too deeply",
        field="depth",
        expected=f"at most {DEPTH_MAX} levels",
        found="more",
    )
