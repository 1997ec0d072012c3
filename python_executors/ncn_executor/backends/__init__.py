"""The frameworks that run a model. Never two of them in one process: torch and
onnxruntime of Debian both register the ONNX schemas, and then one prints 116 KB
of errors."""

import abc
from collections.abc import Sequence

from ncn_executor.contract import Context
from ncn_executor.datatypes import datatype_of
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import Tensors, shape_text, shapes_fit


# What torch and ONNX Runtime say of a token that is not in the vocabulary.
_BEYOND_A_TABLE = ("index out of range", "out of data bounds")


class Backend(abc.ABC):
    """A loaded model.

    Attributes:
        inputs: what the model takes, as the manifest or the model declares it;
            empty when neither does, and tensors go by position.
    """

    inputs: tuple[TensorSpec, ...]

    @abc.abstractmethod
    def run(self, tensors: Tensors) -> Tensors:
        """Computes every output, in the model's order.

        Args:
            tensors: checked against `inputs` and in their order.
        """


def load_backend(model: ModelFile, context: Context) -> Backend:
    """Imports the framework of a model's format and loads the model."""
    if model.format == "onnx":
        from ncn_executor.backends.onnx_backend import OnnxBackend

        return OnnxBackend(model, context)
    from ncn_executor.backends.torch_backend import TorchBackend

    return TorchBackend(model, context)


def name_outputs(values: Sequence[object], specs: Sequence[TensorSpec]) -> list[str]:
    """Names for outputs that come by position."""
    if not specs:
        return [f"output_{index}" for index in range(len(values))]
    if len(values) != len(specs):
        raise contradiction(
            "outputs",
            ", ".join(spec.name for spec in specs),
            f"{len(values)} tensors",
        )
    return [spec.name for spec in specs]


def check_outputs(outputs: Tensors, specs: Sequence[TensorSpec]) -> None:
    """Refuses outputs that are not what the manifest says of them."""
    for spec in specs:
        field = f"outputs.{spec.name}"
        if spec.name not in outputs:
            raise contradiction(field, spec.name, ", ".join(outputs) or "none")
        array = outputs[spec.name]
        if spec.datatype not in (None, datatype_of(array)):
            found = datatype_of(array) or str(array.dtype)
            raise contradiction(f"{field}.datatype", str(spec.datatype), found)
        if spec.shape is not None and not shapes_fit(spec.shape, array.shape):
            raise contradiction(
                f"{field}.shape", shape_text(spec.shape), shape_text(array.shape)
            )


def contradiction(field: str, expected: str, found: str) -> ExecutorError:
    """A manifest that says otherwise than the model is."""
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"the model is not what its manifest says: {field}",
        field=field,
        expected=expected,
        found=found,
    )


def run_failure(text: str, inputs: Sequence[TensorSpec]) -> ExecutorError:
    """Who is at fault when a model fails: an input that fits the declared shapes
    is not, unless it points beyond a table; one that nothing was declared for
    probably is."""
    if any(words in text for words in _BEYOND_A_TABLE):
        whole = [s.name for s in inputs if "INT" in (s.datatype or "")]
        return ExecutorError(
            ErrorCode.INVALID_INPUT,
            f"an index in the input is out of range: {text}",
            field=f"inputs.{whole[0]}.data" if len(whole) == 1 else "inputs",
            expected="indices within the model's tables (a model.toml may say which, "
            "as minimum and maximum)",
            found=text[:200],
        )
    if inputs and all(spec.shape is not None for spec in inputs):
        return ExecutorError(
            ErrorCode.INVALID_MODEL,
            f"the model failed on an input that fits its declaration: {text}",
            field="model",
            expected="an answer",
            found=text[:200],
        )
    return ExecutorError(
        ErrorCode.INVALID_INPUT,
        f"the model failed on this input: {text}",
        field="inputs",
        expected="what the model takes; it declares no complete shape",
        found="an input that it fails on",
    )
