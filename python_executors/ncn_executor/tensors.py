"""Checks arrays against what a model declares."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ncn_executor.datatypes import datatype_of, is_float
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.manifest import TensorSpec

Array = npt.NDArray[Any]
# What a request gives or an answer holds, in order, by name.
Tensors = dict[str, Array]


def check_inputs(tensors: Tensors, specs: Sequence[TensorSpec]) -> Tensors:
    """Refuses inputs that a model does not declare.

    Args:
        tensors: by name, in the order of the request.
        specs: the model's inputs; empty when it declares none.

    Returns:
        The same tensors in the order of the model.
    """
    if not tensors:
        raise invalid_input(
            "the request has no input",
            field="inputs",
            expected=_names(spec.name for spec in specs) if specs else "one or more",
            found="none",
        )
    if not specs:
        for name, array in tensors.items():
            _check_values(name, array, allow_non_finite=False)
        return tensors
    wanted = [spec.name for spec in specs]
    for name in tensors:
        if name not in wanted:
            raise invalid_input(
                f"the model has no input '{name[:80]}'",
                field=f"inputs.{name[:80]}",
                expected=_names(wanted),
                found=_names(tensors),
            )
    for spec in specs:
        if spec.name not in tensors:
            raise invalid_input(
                f"the input '{spec.name}' is missing",
                field=f"inputs.{spec.name}",
                expected=_names(wanted),
                found=_names(tensors),
            )
        _check_tensor(tensors[spec.name], spec)
    return {name: tensors[name] for name in wanted}


def first_non_finite(array: Array) -> str:
    """ "NaN" or "Infinity" when an array holds one, else ""."""
    if array.dtype.kind != "f" or bool(np.isfinite(array).all()):
        return ""
    return "NaN" if bool(np.isnan(array).any()) else "Infinity"


def shape_text(shape: Sequence[int]) -> str:
    """`[-1, 3]` reads as `[any, 3]`."""
    return "[" + ", ".join("any" if d < 0 else str(d) for d in shape) + "]"


def _check_tensor(array: Array, spec: TensorSpec) -> None:
    """One tensor against its declaration."""
    field = f"inputs.{spec.name}"
    found_type = datatype_of(array)
    if spec.datatype is not None and found_type != spec.datatype:
        raise invalid_input(
            f"the input '{spec.name}' has the wrong datatype",
            field=f"{field}.datatype",
            expected=spec.datatype,
            found=found_type or str(array.dtype),
        )
    if spec.shape is not None:
        fits = len(spec.shape) == array.ndim and all(
            wanted in (-1, found) for wanted, found in zip(spec.shape, array.shape)
        )
        if not fits:
            raise invalid_input(
                f"the input '{spec.name}' has the wrong shape",
                field=f"{field}.shape",
                expected=shape_text(spec.shape),
                found=shape_text(array.shape),
            )
    _check_values(spec.name, array, allow_non_finite=spec.allow_non_finite)


def _check_values(name: str, array: Array, *, allow_non_finite: bool) -> None:
    """Elements there are, and finite ones."""
    if array.size == 0:
        raise _empty(name, array)
    if allow_non_finite or not is_float(datatype_of(array)):
        return
    found = first_non_finite(array)
    if found:
        raise invalid_input(
            f"the input '{name[:80]}' holds a number that is not finite",
            field=f"inputs.{name[:80]}.data",
            expected="finite numbers (a model that takes others says so with "
            "allow_non_finite = true in its model.toml)",
            found=found,
        )


def _empty(name: str, array: Array) -> ExecutorError:
    return invalid_input(
        f"the input '{name[:80]}' has no elements",
        field=f"inputs.{name[:80]}.shape",
        expected="at least one element",
        found=shape_text(array.shape),
    )


def _names(names: Iterable[str]) -> str:
    """A bounded list of names for a message."""
    listed = [name[:80] for name in names]
    more = f" and {len(listed) - 16} more" if len(listed) > 16 else ""
    return ", ".join(listed[:16]) + more
