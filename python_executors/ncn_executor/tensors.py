"""Checks arrays against what a model declares.

The tensors of a list, a tuple or a dictionary NAME are called NAME[0], NAME[1] or
NAME.key; see `nesting`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ncn_executor.datatypes import datatype_of, is_float
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.manifest import TensorSpec
from ncn_executor.narrow_floats import widen

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
    if not tensors and not all(spec.optional or spec.nested for spec in specs):
        raise invalid_input(
            "the request has no input",
            field="inputs",
            expected=_names(spec.name for spec in specs),
            found="none",
        )
    if not specs:
        for name, array in tensors.items():
            _check_tensor(name, array, TensorSpec(name))
        return tensors
    by_name: dict[str, Tensors] = {spec.name: {} for spec in specs}
    nested = {spec.name for spec in specs if spec.nested}
    for name, array in tensors.items():
        root = name if name in by_name else root_of(name)
        if root not in by_name or (root != name and root not in nested):
            raise _surplus(name, by_name, tensors)
        by_name[root][name] = array
    ordered: Tensors = {}
    for spec in specs:
        given = by_name[spec.name]
        if not given and not spec.optional and not spec.nested:
            raise invalid_input(
                f"the input '{spec.name}' is missing",
                field=f"inputs.{spec.name}",
                expected=_names(by_name),
                found=_names(tensors) or "none",
            )
        for name, array in given.items():
            _check_tensor(name, array, spec)
        ordered |= given
    return ordered


def root_of(name: str) -> str:
    """`scores[0].key` is part of `scores`."""
    ends = [at for at in (name.find("["), name.find(".")) if at > 0]
    return name[: min(ends)] if ends else name


def first_non_finite(array: Array) -> str:
    """ "NaN" or "Infinity" when an array holds one, else ""."""
    wide = widen(array)
    if wide.dtype.kind not in "fc" or bool(np.isfinite(wide).all()):
        return ""
    return "NaN" if bool(np.isnan(wide).any()) else "Infinity"


def shape_text(shape: Sequence[int]) -> str:
    """`[-1, 3]` reads as `[any, 3]`."""
    return "[" + ", ".join("any" if d < 0 else str(d) for d in shape) + "]"


def shapes_fit(wanted: Sequence[int], found: Sequence[int]) -> bool:
    """Whether a shape is one that was declared; -1 is any, on either side."""
    return len(wanted) == len(found) and all(
        one == other or -1 in (one, other) for one, other in zip(wanted, found)
    )


def _check_tensor(name: str, array: Array, spec: TensorSpec) -> None:
    """One tensor against its declaration."""
    field = f"inputs.{name[:80]}"
    found_type = datatype_of(array)
    if spec.datatype is not None and found_type != spec.datatype:
        raise invalid_input(
            f"the input '{name[:80]}' has the wrong datatype",
            field=f"{field}.datatype",
            expected=spec.datatype,
            found=found_type or str(array.dtype),
        )
    if spec.shape is not None and not shapes_fit(spec.shape, array.shape):
        raise invalid_input(
            f"the input '{name[:80]}' has the wrong shape",
            field=f"{field}.shape",
            expected=shape_text(spec.shape),
            found=shape_text(array.shape),
        )
    # A dimension of 0 that is declared is meant.
    if array.size == 0 and not spec.allow_empty and 0 not in (spec.shape or ()):
        raise invalid_input(
            f"the input '{name[:80]}' has no elements",
            field=f"{field}.shape",
            expected="at least one element (a model that takes none says so with "
            "allow_empty = true in its model.toml)",
            found=shape_text(array.shape),
        )
    if array.size and found_type != "BYTES":
        _check_values(name, array, spec)


def _check_values(name: str, array: Array, spec: TensorSpec) -> None:
    """Finite elements, and those that the model has a meaning for."""
    field = f"inputs.{name[:80]}.data"
    if is_float(datatype_of(array)) and not spec.allow_non_finite:
        found = first_non_finite(array)
        if found:
            raise invalid_input(
                f"the input '{name[:80]}' holds a number that is not finite",
                field=field,
                expected="finite numbers (a model that takes others says so with "
                "allow_non_finite = true in its model.toml)",
                found=found,
            )
    if spec.minimum is None and spec.maximum is None:
        return
    wide = widen(array)
    low, high = wide.min(), wide.max()
    too_low = spec.minimum is not None and low < spec.minimum
    if too_low or (spec.maximum is not None and high > spec.maximum):
        raise invalid_input(
            f"the input '{name[:80]}' holds a number that the model has no meaning for",
            field=field,
            expected=_range_text(spec),
            found=f"{low if too_low else high}",
        )


def _range_text(spec: TensorSpec) -> str:
    """`from 0 to 96`."""
    parts = [(word, v) for word, v in (("from", spec.minimum), ("to", spec.maximum))]
    return " ".join(f"{word} {v:.17g}" for word, v in parts if v is not None)


def _surplus(name: str, wanted: Iterable[str], tensors: Tensors) -> ExecutorError:
    return invalid_input(
        f"the model has no input '{name[:80]}'",
        field=f"inputs.{name[:80]}",
        expected=_names(wanted),
        found=_names(tensors),
    )


def _names(names: Iterable[str]) -> str:
    """A bounded list of names for a message."""
    listed = [name[:80] for name in names]
    more = f" and {len(listed) - 16} more" if len(listed) > 16 else ""
    return ", ".join(listed[:16]) + more
