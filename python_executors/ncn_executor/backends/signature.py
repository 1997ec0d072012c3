"""What a network says that it takes and gives, beside what a manifest says of it."""

import dataclasses
from collections.abc import Sequence

from ncn_executor.backends import contradiction
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import shape_text, shapes_fit


def check_inputs_declared(
    declared: Sequence[TensorSpec], own: Sequence[TensorSpec]
) -> None:
    """Refuses inputs of a manifest that are not those of the network, by position:
    too few or too many, in another order, of another datatype or shape."""
    needed = sum(not spec.optional for spec in own)
    names = [spec.name for spec in own]
    in_order = all(
        mine.name == spec.name or spec.name not in names
        for spec, mine in zip(declared, own)
    )
    if not needed <= len(declared) <= len(own) or not in_order:
        raise contradiction("inputs", _names(declared), _names(own))
    for spec, mine in zip(declared, own):
        _agree(f"inputs.{spec.name}", spec, mine)


def check_outputs_declared(
    declared: Sequence[TensorSpec], own: Sequence[TensorSpec]
) -> None:
    """Refuses outputs of a manifest that are not those of the network: by name, or by
    position where it gives all of them others."""
    if len(declared) != len(own):
        raise contradiction("outputs", _names(declared), _names(own))
    by_name = {spec.name: spec for spec in own}
    if set(by_name) == {spec.name for spec in declared}:
        own = [by_name[spec.name] for spec in declared]
    for spec, mine in zip(declared, own):
        _agree(f"outputs.{spec.name}", spec, mine)


def merged(
    declared: Sequence[TensorSpec], own: Sequence[TensorSpec]
) -> tuple[TensorSpec, ...]:
    """The inputs of a manifest, with what they leave open as the network has it."""
    if not declared:
        return tuple(own)
    return tuple(
        dataclasses.replace(
            spec,
            datatype=spec.datatype or mine.datatype,
            shape=mine.shape if spec.shape is None else spec.shape,
            optional=spec.optional or mine.optional,
            minimum=mine.minimum if spec.minimum is None else spec.minimum,
            maximum=mine.maximum if spec.maximum is None else spec.maximum,
        )
        for spec, mine in zip(declared, own)
    )


def _agree(field: str, spec: TensorSpec, mine: TensorSpec) -> None:
    if spec.datatype and mine.datatype and spec.datatype != mine.datatype:
        raise contradiction(f"{field}.datatype", spec.datatype, mine.datatype)
    if spec.shape is None or mine.shape is None:
        return
    if not shapes_fit(spec.shape, mine.shape):
        expected, found = shape_text(spec.shape), shape_text(mine.shape)
        raise contradiction(f"{field}.shape", expected, found)


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs) or "none"
