"""TorchScript archives: the module, and what its `forward` takes."""

import copy
from typing import Any

from ncn_executor.backends import contradiction
from ncn_executor.backends.torch_values import to_torch
from ncn_executor.backends.torch_weights import refuse_nan
from ncn_executor.contract import Context
from ncn_executor.errors import ErrorCode, ExecutorError, invalid_input
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import TensorSpec
from ncn_executor.nesting import elements, members
from ncn_executor.tensors import Array, Tensors, check_inputs, root_of

_SCALARS = {"IntType": int, "FloatType": float, "BoolType": bool, "NumberType": float}


class TorchScript:
    """A loaded archive.

    Attributes:
        module: as it was saved.
        inputs: as the manifest lists them; empty when it does not. Then the names are
            those of `forward`, or any other, by position.
    """

    def __init__(self, torch: Any, model: ModelFile, context: Context) -> None:
        self._torch = torch
        self.module = torch.jit.load(str(model.path), map_location="cpu").eval()
        forward = getattr(self.module, "forward", None)
        if forward is None:
            raise ValueError("the archive has no method forward")
        self._arguments = forward.schema.arguments[1:]  # Without self.
        self.inputs = model.manifest.inputs
        self._check_manifest()
        if context.check_weights:
            refuse_nan(torch, model, self.module)
        self._keeps_state = context.runs_max > 1 and writes_state(self.module)

    def __call__(self, tensors: Tensors) -> Any:
        arguments = self.arguments(tensors)
        # One request must not be answered by what another left behind.
        module = copy.deepcopy(self.module) if self._keeps_state else self.module
        return module(*arguments)

    def arguments(self, tensors: Tensors) -> list[Any]:
        """What `forward` is called with, in its order."""
        names = self._names(tensors)
        values: list[Any] = []
        for argument, name in zip(self._arguments, names):
            own = {n: a for n, a in tensors.items() if name in (n, root_of(n))}
            values.append(self._value(argument.type, name, own, argument))
        return values

    def _names(self, tensors: Tensors) -> list[str]:
        """What the request calls each argument."""
        own = [argument.name for argument in self._arguments]
        if self.inputs:
            names = [spec.name for spec in self.inputs]
            return names + own[len(names) :]
        plain = not any(_is_nested(argument.type) for argument in self._arguments)
        if plain and not set(tensors) & set(own) and len(tensors) == len(own):
            return list(tensors)
        check_inputs(tensors, [_spec(argument) for argument in self._arguments])
        return own

    def _check_manifest(self) -> None:
        """A manifest lists as many inputs as `forward` takes."""
        if not self.inputs:
            return
        needed = [a.name for a in self._arguments if not _is_optional(a)]
        if not len(needed) <= len(self.inputs) <= len(self._arguments):
            raise contradiction(
                "inputs",
                ", ".join(spec.name for spec in self.inputs),
                ", ".join(argument.name for argument in self._arguments) or "none",
            )

    def _value(self, kind: Any, name: str, own: Tensors, argument: Any = None) -> Any:
        """The value of an argument, or of a part of one, made of its tensors."""
        word = kind.kind()
        if word == "OptionalType":
            return self._value(kind.getElementType(), name, own) if own else None
        if argument is not None and not own and argument.has_default_value():
            return argument.default_value
        if word == "ListType" and name not in own:
            inner = kind.getElementType()
            return [
                self._value(inner, f"{name}[{index}]", part)
                for index, part in enumerate(elements(name, own))
            ]
        if word == "TupleType":
            return self._tuple(kind, name, own)
        if word == "DictType":
            inner = kind.getValueType()
            parts = members(name, own).items()
            return {k: self._value(inner, f"{name}.{k}", part) for k, part in parts}
        if name not in own:
            raise _wrong(name, kind, "nothing" if not own else ", ".join(own))
        return self._leaf(kind, name, own[name])

    def _tuple(self, kind: Any, name: str, own: Tensors) -> tuple[Any, ...]:
        parts, kinds = elements(name, own), kind.elements()
        if len(parts) != len(kinds):
            raise _wrong(name, kind, f"{len(parts)} elements")
        return tuple(
            self._value(inner, f"{name}[{index}]", part)
            for index, (inner, part) in enumerate(zip(kinds, parts))
        )

    def _leaf(self, kind: Any, name: str, array: Array) -> Any:
        """A tensor, a number, a text, or a list of numbers or texts."""
        word = kind.kind()
        if word == "TensorType":
            return to_torch(self._torch, name, array)
        flat: list[Any] = array.reshape(-1).tolist()
        if word == "ListType":
            inner = kind.getElementType().kind()
            if inner in _SCALARS or inner == "StringType":
                return [_scalar(inner, kind, name, value) for value in flat]
        if len(flat) != 1:
            raise _wrong(name, kind, f"{len(flat)} elements")
        return _scalar(word, kind, name, flat[0])


def writes_state(network: Any) -> bool:
    """Whether a TorchScript network changes what it holds, or may."""
    import torch

    with torch.jit.optimized_execution(
        True
    ):  # Else neither inlines nor folds anything.
        if not _writes_anything(network.inlined_graph):
            return False
        # On a copy, freezing folds every attribute but those that are written to.
        try:
            frozen = torch.jit.freeze(network, optimize_numerics=False)
        except RuntimeError:
            return True
    return bool(frozen.graph.findAllNodes("prim::GetAttr"))


def _writes_anything(block: Any) -> bool:
    """Whether any operator of a graph, or of a block in it, changes its arguments."""
    for node in block.nodes():
        kind = node.kind()
        # "!" marks in a schema the arguments that an operator writes to.
        if kind == "prim::SetAttr" or "!" in node.schema():
            return True
        if any(map(_writes_anything, node.blocks())):
            return True
    return False


def _spec(argument: Any) -> TensorSpec:
    return TensorSpec(
        argument.name,
        optional=_is_optional(argument),
        nested=_is_nested(argument.type),
    )


def _is_optional(argument: Any) -> bool:
    has_default = bool(argument.has_default_value())
    return has_default or argument.type.kind() == "OptionalType"


def _is_nested(kind: Any) -> bool:
    word = kind.kind()
    if word == "OptionalType":
        return _is_nested(kind.getElementType())
    return word in ("ListType", "TupleType", "DictType")


def _scalar(word: str, kind: Any, name: str, value: Any) -> Any:
    """One number or text of the type that an argument has."""
    if word == "StringType" and isinstance(value, str):
        return value
    wanted = _SCALARS.get(word)
    if wanted is None and word != "StringType":
        raise ExecutorError(
            ErrorCode.UNSUPPORTED_MODEL,
            f"the input '{name}' has a type that no request can give",
            field=f"inputs.{name}",
            expected="tensors, numbers, texts, and lists and dictionaries of them",
            found=str(kind)[:80],
        )
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if wanted is None or not fits:
        raise _wrong(name, kind, type(value).__name__)
    return wanted(value)


def _wrong(name: str, kind: Any, found: str) -> ExecutorError:
    return invalid_input(
        f"the input '{name}' is not what the model's forward takes",
        field=f"inputs.{name}",
        expected=str(kind)[:80],
        found=found[:80],
    )
