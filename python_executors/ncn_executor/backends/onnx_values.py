"""Tensors by name as what ONNX Runtime takes, and what it gives as tensors by name."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ncn_executor.backends.onnx_signature import NARROW_NUMBERS, ValueType
from ncn_executor.datatypes import DATATYPES, datatype_of, is_narrow
from ncn_executor.errors import ErrorCode, ExecutorError, invalid_input
from ncn_executor.narrow_floats import bits, from_bits
from ncn_executor.nesting import elements, flatten
from ncn_executor.tensors import Array, Tensors


class OnnxValues:
    """The inputs and outputs of one model.

    A list NAME is given as NAME[0], NAME[1], …; a dictionary as NAME.keys and
    NAME.values, two tensors of one dimension.
    """

    def __init__(
        self, onnxruntime: Any, inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        self._onnxruntime = onnxruntime
        self._inputs = {node.name: ValueType.parse(node.type) for node in inputs}
        self._outputs = {node.name: ValueType.parse(node.type) for node in outputs}
        for kind, types, nodes in (
            ("input", self._inputs, inputs),
            ("output", self._outputs, outputs),
        ):
            for node in nodes:
                value = types[node.name]
                known = value.container in ("tensor", "seq", "map")
                alone = value.container == "tensor" or not is_narrow(value.datatype)
                if not known or not alone or not (value.datatype or kind == "output"):
                    raise _unsupported(kind, node.name, node.type)
        self._has_narrow = any(
            is_narrow(value.datatype)
            for value in (*self._inputs.values(), *self._outputs.values())
        )

    def feeds(self, tensors: Tensors) -> dict[str, Any]:
        """What a session takes, of tensors that were checked."""
        feeds: dict[str, Any] = {}
        if tensors and not self._inputs:
            raise invalid_input(
                "the model takes no input",
                field="inputs",
                expected="none",
                found=", ".join(tensors)[:200],
            )
        for name, value in self._inputs.items():
            if value.container == "seq":
                parts = elements(name, tensors)
                if parts or not value.is_optional:
                    feeds[name] = [a for part in parts for a in part.values()]
                else:
                    feeds[name] = None
            elif value.container == "map":
                feeds[name] = _map(name, tensors)
            elif name in tensors:
                feeds[name] = tensors[name]
            elif value.is_optional:
                feeds[name] = None
        return feeds

    def compute(self, session: Any, feeds: dict[str, Any]) -> list[Any]:
        """Runs the session; one value per output."""
        names = list(self._outputs)
        if not self._has_narrow:
            return list(session.run(names, feeds))
        # numpy has no such type, so values go by the address of their bits.
        given = {name: self._value(value) for name, value in feeds.items()}
        results = session.run_with_ort_values(names, given)
        return [_from_value(result) for result in results]

    def outputs(self, values: Sequence[Any]) -> Tensors:
        """Every output and what is in it, as arrays by name."""
        found: Tensors = {}
        for name, value in zip(self._outputs, values):
            if isinstance(value, list) and value and isinstance(value[0], dict):
                value = _columns(value)
            elif isinstance(value, dict):
                value = {"keys": list(value), "values": list(value.values())}
                value = {key: _array(part) for key, part in value.items()}
            for leaf, array in flatten(name, value):
                if not hasattr(array, "dtype"):
                    array = np.asarray(array)
                if not datatype_of(array):
                    raise _unsupported("output", leaf, type(array).__name__)
                found[leaf] = array
        return found

    def _value(self, value: Any) -> Any:
        """An OrtValue that lives as long as the array."""
        make = self._onnxruntime.OrtValue
        datatype = datatype_of(value)
        if is_narrow(datatype):
            return make.ortvalue_from_numpy_with_onnx_type(
                bits(value), NARROW_NUMBERS[datatype]
            )
        return make.ortvalue_from_numpy(value)


def _from_value(value: Any) -> Any:
    """An OrtValue as an array of its own."""
    datatype = ValueType.parse(value.data_type()).datatype
    if not value.is_tensor() or not is_narrow(datatype):
        return value.numpy()
    shape = tuple(value.shape())
    width = np.dtype(DATATYPES[datatype]).itemsize
    count = int(np.prod(shape, dtype=np.int64))
    data = ctypes.string_at(value.data_ptr(), count * width) if count else b""
    return from_bits(np.frombuffer(data, f"<u{width}").reshape(shape), datatype)


def _map(name: str, tensors: Tensors) -> dict[Any, Any]:
    """A dictionary of its keys and its values."""
    keys, values = tensors.get(f"{name}.keys"), tensors.get(f"{name}.values")
    if keys is None or values is None or keys.shape != values.shape or keys.ndim != 1:
        raise invalid_input(
            f"the dictionary '{name}' is not whole",
            field=f"inputs.{name}",
            expected=f"{name}.keys and {name}.values, of one dimension and as many",
            found=", ".join(tensors)[:200] or "nothing",
        )
    return dict(zip(keys.tolist(), values.tolist()))


def _columns(rows: list[dict[Any, Any]]) -> Any:
    """A list of dictionaries with the same keys as keys [K] and values [N, K]."""
    keys = list(rows[0])
    if any(list(row) != keys for row in rows):
        return [
            {"keys": _array(list(r)), "values": _array([*r.values()])} for r in rows
        ]
    return {"keys": _array(keys), "values": _array([[*row.values()] for row in rows])}


def _array(values: list[Any]) -> Array:
    """Numbers or texts as an array; whole numbers as INT64, others as FP32."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return array.astype(object) if array.dtype.kind == "U" else array


def _unsupported(kind: str, name: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.UNSUPPORTED_MODEL,
        f"the {kind} '{name[:80]}' has a type that cannot be given or answered",
        field=f"{kind}s.{name[:80]}",
        expected="tensors of a known type, or lists and dictionaries of them",
        found=found[:200],
    )
