"""Bare weights: safetensors files and torch.save checkpoints, and their network."""

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

from ncn_executor.architectures import build_architecture
from ncn_executor.backends import signature
from ncn_executor.backends.torch_values import to_torch
from ncn_executor.contract import Context
from ncn_executor.errors import ErrorCode, ExecutorError, first_line
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import Tensors

# Under which keys training programs put the weights in a checkpoint.
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_NAMES_SHOWN = 8


class WeightedNetwork:
    """The network that a manifest, or the folder, names for a file of weights.

    Attributes:
        inputs: the manifest's, else the network's own; empty when neither says.
    """

    def __init__(self, torch: Any, model: ModelFile, context: Context) -> None:
        self._torch = torch
        with _no_initial_values(torch):
            self.module = build_architecture(model.manifest, model.path.parent).eval()
        self.inputs = self._agreed_inputs(model)
        state = read_weights(torch, model, context)
        _check_state(model, self.module.state_dict(), state)
        # Weights of the network's own type stay pages of the file, shared by
        # every process that maps it; others are converted.
        for name, wanted in self.module.state_dict().items():
            state[name] = state[name].to(wanted.dtype)
        self.module.load_state_dict(state, strict=True, assign=True)
        if context.check_weights:
            refuse_nan(torch, model, self.module)

    def _agreed_inputs(self, model: ModelFile) -> tuple[TensorSpec, ...]:
        """What requests give, where the manifest agrees with the network about it."""
        declared, outputs = model.manifest.inputs, model.manifest.outputs
        named = tuple(getattr(self.module, "inputs", ()))
        own = named or tuple(getattr(self.module, "takes", ()))
        gives = tuple(getattr(self.module, "gives", ()))
        if outputs and gives:
            signature.check_outputs_declared(outputs, gives)
        if not declared or not own:
            return declared or named
        signature.check_inputs_declared(declared, own)
        return signature.merged(declared, own)

    def __call__(self, tensors: Tensors) -> Any:
        """Inputs go by position; an optional one that is not there is None."""
        names = [spec.name for spec in self.inputs] or list(tensors)
        while names and names[-1] not in tensors:
            names.pop()
        given = (
            to_torch(self._torch, n, tensors[n]) if n in tensors else None
            for n in names
        )
        return self.module(*given)


@contextlib.contextmanager
def _no_initial_values(torch: Any) -> Iterator[None]:
    """Networks made meanwhile have weights of no value, which cost neither the time
    nor the memory of those that come from the file."""
    functions = {
        name: function
        for name, function in vars(torch.nn.init).items()
        if name.endswith("_") and not name.startswith("_") and callable(function)
    }
    try:
        for name in functions:
            setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
        yield
    finally:
        for name, function in functions.items():
            setattr(torch.nn.init, name, function)


def read_weights(torch: Any, model: ModelFile, context: Context) -> dict[str, Any]:
    """The tensors of a file, which stay pages of it."""
    if model.format == "safetensors":
        with context.timed("import"):
            import safetensors
            import safetensors.torch
        context.versions["safetensors"] = str(safetensors.__version__)
        try:
            found = safetensors.torch.load_file(str(model.path))
        except safetensors.SafetensorError as error:
            raise invalid_model(model, first_line(error)) from error
        return dict(found)
    try:
        state = torch.load(
            str(model.path), map_location="cpu", weights_only=True, mmap=True
        )
    except pickle.UnpicklingError as error:
        raise invalid_model(
            model, "the checkpoint holds more than weights; save a state_dict"
        ) from error
    for key in _STATE_KEYS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        hasattr(v, "shape") for v in state.values()
    ):
        raise invalid_model(model, "the checkpoint is not a dictionary of weights")
    return dict(state)


def refuse_nan(torch: Any, model: ModelFile, module: Any) -> None:
    """Weights that are not numbers would make every answer so."""
    for name, weight in module.state_dict().items():
        if not isinstance(weight, torch.Tensor) or not weight.is_floating_point():
            continue
        wide = weight if weight.itemsize > 1 else weight.float()
        # The sum makes no copy; opposite infinities, which may be meant, are NaN there.
        if torch.isnan(wide.sum()) and (count := int(torch.isnan(wide).sum())):
            raise ExecutorError(
                ErrorCode.INVALID_MODEL,
                f"the weights in {model.path.name} are not all numbers",
                field=f"weights.{name}",
                expected="numbers",
                found=f"{count} NaN of {weight.numel()}",
                path=str(model.path),
            )


def invalid_model(model: ModelFile, text: str) -> ExecutorError:
    """A file that torch cannot use."""
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"{model.path.name} cannot be loaded: {text}",
        field="model",
        expected=f"a whole {model.format} file",
        found="one that torch refuses",
        path=str(model.path),
    )


def _check_state(model: ModelFile, wanted: Any, found: Any) -> None:
    """Every weight there, none too many, each of the right shape."""
    missing = [name for name in wanted if name not in found]
    surplus = [str(name) for name in found if name not in wanted]
    if missing or surplus:
        raise _weights_error(
            model, "have other names than the architecture's", missing, surplus
        )
    for name, weight in wanted.items():
        if tuple(weight.shape) != tuple(found[name].shape):
            raise _weights_error(
                model,
                f"do not fit the architecture: {name}",
                [str(list(weight.shape))],
                [str(list(found[name].shape))],
            )


def _weights_error(
    model: ModelFile, what: str, wanted: list[str], found: list[str]
) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"the weights in {model.path.name} {what}",
        field="weights",
        expected=", ".join(wanted[:_NAMES_SHOWN]) or "nothing more",
        found=", ".join(found[:_NAMES_SHOWN]) or "nothing of that name",
        path=str(model.path),
    )
