"""Elements of tensors as JSON values, and back."""

import math
from typing import Any

import numpy as np

from ncn_executor.datatypes import DATATYPES, is_float, is_narrow
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.narrow_floats import narrow, widen
from ncn_executor.tensors import Array, first_non_finite, shape_text

DEPTH_MAX = 64
_KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "numbers"}


def to_array(field: str, data: Any, datatype: str, shape: tuple[int, ...]) -> Array:
    """Flat or nested data as an array of the declared type and shape."""
    if not isinstance(data, list):
        raise invalid_input(
            "the data is not a list",
            field=field,
            expected="a list",
            found=kind_of(data),
        )
    try:
        raw = np.array(data, dtype=object if datatype == "BYTES" else None)
        if datatype == "UINT64" and raw.dtype.kind == "f":
            # numpy makes floats of a list whose integers need both signs' types.
            raw = np.array(data, dtype=object)
    except (ValueError, OverflowError) as error:
        if "maximum number of dimension" in str(error).lower():
            raise too_deep() from error
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
        return np.empty(raw.shape, DATATYPES[datatype])
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
    if datatype != "BOOL" and not is_float(datatype):
        limits = np.iinfo(DATATYPES[datatype])
        if int(raw.min()) < limits.min or int(raw.max()) > limits.max:
            raise _out_of_range(field, datatype)
    with np.errstate(over="ignore"):
        typed: Array = (
            narrow(raw, datatype)
            if is_narrow(datatype)
            else raw.astype(DATATYPES[datatype])
        )
    if kind == "f" and first_non_finite(typed) and not first_non_finite(raw):
        raise _out_of_range(field, datatype)
    return typed


def _all_integers(raw: Array) -> bool:
    """Whether Python integers is all there is, however large."""
    elements: list[Any] = raw.reshape(-1).tolist()
    return all(type(element) is int for element in elements)


def to_json(array: Array) -> list[Any]:
    """Elements as JSON values, in row-major order."""
    flat: list[Any] = widen(array).reshape(-1).tolist()
    if array.dtype.kind in "OS":
        return [e.decode("utf-8", "replace") if type(e) is bytes else e for e in flat]
    return flat


def kind_of(value: Any) -> str:
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


def too_deep() -> ExecutorError:
    return invalid_input(
        "the request is nested too deeply",
        field="depth",
        expected=f"at most {DEPTH_MAX} levels",
        found="more",
    )
