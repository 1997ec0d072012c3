"""The frameworks that run a model. Never two of them in one process: torch and
onnxruntime of Debian both register the ONNX schemas, and then one prints 116 KB
of errors."""

import abc
from collections.abc import Sequence

from ncn_executor.contract import Context
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import Tensors


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
        raise ExecutorError(
            ErrorCode.INVALID_MODEL,
            "the model has not the outputs that its manifest lists",
            field="outputs",
            expected=", ".join(spec.name for spec in specs),
            found=f"{len(values)} tensors",
        )
    return [spec.name for spec in specs]


def run_failure(text: str, inputs: Sequence[TensorSpec]) -> ExecutorError:
    """Who is at fault when a model fails: an input that fits the declared shapes
    is not, one that nothing was declared for probably is."""
    if inputs and all(spec.shape is not None for spec in inputs):
        return ExecutorError(
            ErrorCode.INVALID_MODEL,
            f"the model failed on an input that fits its declaration: {text}",
            field="model",
        )
    return ExecutorError(
        ErrorCode.INVALID_INPUT,
        f"the model failed on this input: {text}",
        field="inputs",
        expected="what the model takes; it declares no complete shape",
        found="an input that it fails on",
    )
