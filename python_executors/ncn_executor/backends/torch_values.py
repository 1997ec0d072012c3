"""Arrays as torch's tensors, and what a network gives as arrays by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ncn_executor.backends import name_outputs
from ncn_executor.datatypes import datatype_of, is_narrow
from ncn_executor.errors import ErrorCode, ExecutorError, invalid_input
from ncn_executor.manifest import TensorSpec
from ncn_executor.narrow_floats import bits, from_bits
from ncn_executor.nesting import flatten
from ncn_executor.tensors import Array, Tensors

# Floats that numpy lacks -> torch's name for them.
_TORCH_NAMES = {
    "BF16": "bfloat16",
    "FP8E4M3FN": "float8_e4m3fn",
    "FP8E4M3FNUZ": "float8_e4m3fnuz",
    "FP8E5M2": "float8_e5m2",
    "FP8E5M2FNUZ": "float8_e5m2fnuz",
}
_DATATYPES = {f"torch.{torch_name}": name for name, torch_name in _TORCH_NAMES.items()}


def to_torch(torch: Any, name: str, array: Array) -> Any:
    """A tensor of its own: a network may write to it, the request's bytes are not."""
    datatype = datatype_of(array)
    if datatype == "BYTES":
        raise invalid_input(
            f"the input '{name}' holds texts, which this model cannot take",
            field=f"inputs.{name}.datatype",
            expected="numbers",
            found="BYTES",
        )
    if is_narrow(datatype):
        raw = bits(array)
        signed = np.array(raw).view(np.int16 if raw.itemsize == 2 else np.uint8)
        return torch.from_numpy(signed).view(getattr(torch, _TORCH_NAMES[datatype]))
    return torch.from_numpy(array.copy())


def named_outputs(torch: Any, result: Any, specs: Sequence[TensorSpec]) -> Tensors:
    """Whatever a network gives, as arrays by name.

    The members of a dictionary or a named tuple keep their names, those of a list or
    a tuple are output_0, output_1, …; what is in them is named by its place, as
    output_1[0]. A manifest names them all, in their order.
    """
    fields = getattr(result, "_fields", None)
    if fields is not None:
        result = dict(zip(fields, result))
    if isinstance(result, Mapping):
        parts = [(str(key), value) for key, value in result.items()]
    else:
        values = list(result) if isinstance(result, (tuple, list)) else [result]
        parts = [(f"output_{index}", value) for index, value in enumerate(values)]
    leaves = [leaf for name, value in parts for leaf in flatten(name, value)]
    if specs and {name for name, _ in leaves} != {spec.name for spec in specs}:
        names = name_outputs(leaves, specs)
        leaves = [(name, value) for name, (_, value) in zip(names, leaves)]
    return {name: _array(torch, name, value) for name, value in leaves}


def _array(torch: Any, name: str, value: Any) -> Array:
    """One output as an array."""
    if isinstance(value, (bool, int, float)):
        kinds = {bool: np.bool_, int: np.int64, float: np.float64}
        return np.array(value, kinds[type(value)])
    if isinstance(value, str):
        return np.array(value, dtype=object)
    if not isinstance(value, torch.Tensor) or value.is_complex():
        found = "a complex tensor" if torch.is_tensor(value) else type(value)
        raise ExecutorError(
            ErrorCode.UNSUPPORTED_MODEL,
            f"the output '{name}' is not a tensor of plain numbers",
            field=f"outputs.{name}",
            expected="a tensor",
            found=str(found),
        )
    if value.is_sparse or value.is_quantized:
        value = value.to_dense() if value.is_sparse else value.dequantize()
    value = value.detach().contiguous()
    datatype = _DATATYPES.get(str(value.dtype))
    if datatype is not None:
        raw = value.view(torch.int16 if value.itemsize == 2 else torch.uint8).numpy()
        return from_bits(raw.view(np.uint16) if raw.itemsize == 2 else raw, datatype)
    array: Array = value.numpy()
    return array
