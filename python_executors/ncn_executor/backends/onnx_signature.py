"""What an ONNX model says of its inputs and outputs, beside what a manifest says."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import shape_text, shapes_fit

# ONNX Runtime's names for element types -> the protocol's, and ONNX's number of those
# that numpy lacks.
ELEMENTS = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "bfloat16": "BF16",
    "float8e4m3fn": "FP8E4M3FN",
    "float8e4m3fnuz": "FP8E4M3FNUZ",
    "float8e5m2": "FP8E5M2",
    "float8e5m2fnuz": "FP8E5M2FNUZ",
}
NARROW_NUMBERS = {
    "BF16": 16,
    "FP8E4M3FN": 17,
    "FP8E4M3FNUZ": 18,
    "FP8E5M2": 19,
    "FP8E5M2FNUZ": 20,
}


@dataclasses.dataclass(frozen=True)
class ValueType:
    """`optional(seq(tensor(float)))`, taken apart.

    Attributes:
        container: "tensor", "seq", "map" or what else there is.
        datatype: of the elements; "" when the protocol has no name for it.
        key: of a map.
    """

    container: str
    datatype: str
    is_optional: bool = False
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> "ValueType":
        container, _, inner = text.rstrip(")").partition("(")
        if container == "optional":
            return dataclasses.replace(cls.parse(inner), is_optional=True)
        if container == "map":
            key, _, value = inner.partition(",")
            return cls("map", ELEMENTS.get(_element(value), ""), key=key)
        return cls(container, ELEMENTS.get(_element(inner), ""))


def merge_inputs(
    nodes: Sequence[Any], declared: Sequence[TensorSpec]
) -> tuple[TensorSpec, ...]:
    """The model's own signature, with what the manifest adds to it."""
    by_name = {spec.name: spec for spec in declared}
    return tuple(_merge(node, by_name.get(node.name)) for node in nodes)


def check_manifest(
    model: ModelFile, inputs: Sequence[Any], outputs: Sequence[Any]
) -> None:
    """A manifest that says otherwise than the model is of no use."""
    manifest = model.manifest
    for kind, specs, nodes in (
        ("inputs", manifest.inputs, inputs),
        ("outputs", manifest.outputs, outputs),
    ):
        by_name = {node.name: node for node in nodes}
        if specs and {spec.name for spec in specs} != set(by_name):
            raise _contradiction(
                model,
                kind,
                ", ".join(spec.name for spec in specs),
                ", ".join(by_name),
            )
        for spec in specs:
            node, field = by_name[spec.name], f"{kind}.{spec.name}"
            found = ValueType.parse(node.type).datatype
            if spec.datatype is not None and spec.datatype != found:
                raise _contradiction(
                    model, f"{field}.datatype", spec.datatype, found or node.type
                )
            shape = _shape(node)
            if spec.shape is None or shape is None:
                continue
            if not shapes_fit(spec.shape, shape):
                raise _contradiction(
                    model, f"{field}.shape", shape_text(spec.shape), shape_text(shape)
                )


def _merge(node: Any, declared: TensorSpec | None) -> TensorSpec:
    spec = declared or TensorSpec(node.name)
    value = ValueType.parse(node.type)
    is_tensor = value.container == "tensor"
    return dataclasses.replace(
        spec,
        datatype=spec.datatype or _datatype(value),
        shape=spec.shape if spec.shape is not None else _shape(node),
        optional=spec.optional or value.is_optional,
        nested=not is_tensor,
    )


def _datatype(value: ValueType) -> str | None:
    """That of the elements, which in a map are keys and values of different types."""
    return None if value.container == "map" else value.datatype or None


def _shape(node: Any) -> tuple[int, ...] | None:
    """A dimension that is a name or nothing may have any size. Of a number without
    dimensions, ONNX Runtime says the same as of a tensor of any rank: nothing."""
    if not node.shape:
        return None
    return tuple(d if isinstance(d, int) and d >= 0 else -1 for d in node.shape)


def _element(text: str) -> str:
    """`tensor(float` or `float`."""
    return text.rpartition("(")[2].rstrip(")")


def _contradiction(
    model: ModelFile, field: str, expected: str, found: str
) -> ExecutorError:
    kind = field.partition(".")[0]
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"the {kind} of {model.path.name} are not those of its manifest",
        field=field,
        expected=expected,
        found=found,
        path=str(model.path),
    )
