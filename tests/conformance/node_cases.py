"""ONNX's own tests of its operators, as models, requests and answers.

Runs in the runtime image, which holds onnx, with python_executors on the path.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from ncn_executor.narrow_floats import from_bits, widen
from ncn_executor.nesting import flatten

Array = npt.NDArray[Any]
# ONNX's floats that numpy lacks -> the protocol's names, and the bits of each.
NARROW = {
    onnx.TensorProto.BFLOAT16: ("BF16", np.uint16),
    onnx.TensorProto.FLOAT8E4M3FN: ("FP8E4M3FN", np.uint8),
    onnx.TensorProto.FLOAT8E4M3FNUZ: ("FP8E4M3FNUZ", np.uint8),
    onnx.TensorProto.FLOAT8E5M2: ("FP8E5M2", np.uint8),
    onnx.TensorProto.FLOAT8E5M2FNUZ: ("FP8E5M2FNUZ", np.uint8),
}


class NotRunnable(Exception):
    """A case that no caller of ONNX Runtime in Python can run; says why."""


class Case:
    """One test: a model of one node, its inputs and the outputs that it must give.

    Attributes:
        inputs: by name; an array, a list of arrays or None.
        outputs: by name, lists taken apart, as an executor answers them.
    """

    def __init__(self, test: Any) -> None:
        self.name: str = test.name
        self.model: onnx.ModelProto = test.model
        self.tolerances: tuple[float, float] = (test.rtol, test.atol)
        inputs, outputs = test.data_sets[0]
        graph = test.model.graph
        self.inputs = _by_name(graph.input, inputs)
        named = _by_name(graph.output, outputs)
        self.outputs = dict(
            leaf for name, value in named.items() for leaf in flatten(name, value)
        )


def all_tests() -> list[Any]:
    """Every node test that this version of onnx makes, in the order of their names."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sorted(collect_testcases(None), key=lambda test: str(test.name))


def is_text(value: Array) -> bool:
    return value.dtype.kind in "OUS"


def arrays(values: dict[str, Any]) -> Iterator[tuple[str, Array]]:
    """All arrays in the inputs of a case, by the names that a request gives them."""
    for name, value in values.items():
        yield from flatten(name, value)


def difference(
    wanted: dict[str, Array], found: dict[str, Array], tolerances: tuple[float, float]
) -> str:
    """How an answer differs from the right one, by the rules of onnx's own runner; ""
    when it does not."""
    if list(wanted) != list(found):
        return f"outputs {', '.join(found) or 'none'} instead of {', '.join(wanted)}"
    for name, right in wanted.items():
        other = found[name]
        if is_text(right) and is_text(other):
            if [str(e) for e in right.flat] != [str(e) for e in other.flat]:
                return f"other texts in {name}"
        elif right.dtype != other.dtype:
            return f"{name} is {other.dtype}, not {right.dtype}"
        if right.shape != other.shape:
            return f"{name} has the shape {other.shape}, not {right.shape}"
        if not is_text(right):
            relative, absolute = tolerances
            close = np.isclose(
                widen(other), widen(right), relative, absolute, equal_nan=True
            )
            if not close.all():
                return f"other numbers in {name}"
    return ""


def _by_name(infos: Any, values: Any) -> dict[str, Any]:
    """Values in the order of their declarations, as arrays; narrow floats as theirs."""
    named: dict[str, Any] = {}
    for info, value in zip(infos, values):
        named[info.name] = _plain(value)
    return named


def _plain(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, onnx.TensorProto):
        return _of_proto(value)
    array = np.asarray(value)
    return array.astype(object) if is_text(array) else array


def _of_proto(tensor: onnx.TensorProto) -> Array:
    if tensor.data_type not in NARROW:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        if kind in ("INT4", "UINT4", "FLOAT4E2M1"):
            raise NotRunnable(f"{kind} cannot be given through ONNX Runtime's Python")
        plain: Array = onnx.numpy_helper.to_array(tensor)
        return plain
    name, width = NARROW[tensor.data_type]
    if tensor.raw_data:
        raw = np.frombuffer(tensor.raw_data, width)
    else:
        raw = np.array(tensor.int32_data, np.int64).astype(width)
    return from_bits(raw.reshape(tuple(tensor.dims)), name)
