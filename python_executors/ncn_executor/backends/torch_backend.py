"""TorchScript archives, torch.save checkpoints and safetensors weights."""

import copy
import pickle
import re
from typing import Any

from ncn_executor.architectures import build_architecture
from ncn_executor.backends import Backend, name_outputs, run_failure
from ncn_executor.contract import Context
from ncn_executor.datatypes import datatype_of
from ncn_executor.errors import (
    ErrorCode,
    ExecutorError,
    first_line,
    invalid_input,
    is_out_of_memory,
)
from ncn_executor.formats import ModelFile
from ncn_executor.tensors import Tensors

# Under which keys training programs put the weights in a checkpoint.
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_NAMES_SHOWN = 8


def import_torch(threads: int) -> Any:
    """Imports torch, set as every process that computes with it has it set."""
    import torch

    torch.set_num_threads(threads)
    # TorchScript is run as it was saved. What torch can do to it first (profiling,
    # freezing, passes over the graph) takes a network of 32 tokens longer than the
    # answer itself, speeds up the next calls by nothing that could be measured, and
    # rounds otherwise than the network's author saw it round.
    torch._C._jit_set_profiling_executor(False)
    torch._C._jit_set_profiling_mode(False)
    torch._C._set_graph_executor_optimize(False)
    return torch


def rehearse() -> None:
    """Loads and runs a small network, so that a fork need not pay what the first one
    costs: torch fills tables of operators and passes then. Starts no thread as long as
    torch is set to one."""
    import io

    torch = import_torch(1)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 2),
        torch.nn.Softmax(1),
    ).eval()
    archive = io.BytesIO()
    with torch.inference_mode():
        example = torch.zeros(1, 1, 4, 4)
        torch.jit.save(torch.jit.trace(network, example), archive)
        archive.seek(0)
        loaded = torch.jit.load(archive, map_location="cpu").eval()
        for _ in range(2):
            loaded(example)


class TorchBackend(Backend):
    """Runs a network on the CPU, without gradients."""

    def __init__(self, model: ModelFile, context: Context) -> None:
        with context.timed("import"):
            torch = import_torch(context.threads)
        self._torch = torch
        context.versions["torch"] = str(torch.__version__)
        self.inputs = model.manifest.inputs
        self._outputs = model.manifest.outputs
        self._keeps_state = False
        try:
            if model.format == "torchscript":
                self._network = torch.jit.load(
                    str(model.path), map_location="cpu"
                ).eval()
                self._keeps_state = context.runs_max > 1 and writes_state(self._network)
            else:
                self._network = self._load_weights(model, context)
        except (RuntimeError, ValueError, KeyError, EOFError) as error:
            if is_out_of_memory(error) or "Permission denied" in str(error):
                raise
            raise _invalid_model(model, first_line(error)) from error

    def run(self, tensors: Tensors) -> Tensors:
        torch = self._torch
        arguments = []
        for name, array in tensors.items():
            if datatype_of(array) == "BYTES":
                raise invalid_input(
                    f"the input '{name}' holds texts, which this model cannot take",
                    field=f"inputs.{name}.datatype",
                    expected="numbers",
                    found="BYTES",
                )
            # The copy is torch's to write to; the request's bytes are not.
            arguments.append(torch.from_numpy(array.copy()))
        try:
            # One request must not be answered by what another left behind.
            network = self._network
            if self._keeps_state:
                network = copy.deepcopy(network)
            with torch.inference_mode():
                result = network(*arguments)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            raise run_failure(_model_error(error), self.inputs) from error
        return self._named(result)

    def _load_weights(self, model: ModelFile, context: Context) -> Any:
        """Puts weights into the network that the manifest names."""
        torch = self._torch
        network = build_architecture(model.manifest).eval()
        if model.format == "safetensors":
            with context.timed("import"):
                import safetensors
                import safetensors.torch
            context.versions["safetensors"] = str(safetensors.__version__)
            try:
                state = safetensors.torch.load_file(str(model.path))
            except safetensors.SafetensorError as error:
                raise _invalid_model(model, first_line(error)) from error
        else:
            try:
                state = torch.load(
                    str(model.path), map_location="cpu", weights_only=True, mmap=True
                )
            except pickle.UnpicklingError as error:
                raise _invalid_model(
                    model, "the checkpoint holds more than weights; save a state_dict"
                ) from error
            for key in _STATE_KEYS:
                if isinstance(state, dict) and isinstance(state.get(key), dict):
                    state = state[key]
        _check_state(model, network.state_dict(), state)
        # Weights of the network's own type stay pages of the file, shared by
        # every process that maps it; others are converted.
        for name, wanted in network.state_dict().items():
            state[name] = state[name].to(wanted.dtype)
        network.load_state_dict(state, strict=True, assign=True)
        return network

    def _named(self, result: Any) -> Tensors:
        """A tensor, a sequence or a dictionary of them, as arrays by name."""
        if isinstance(result, dict):
            values = list(result.values())
            names = [str(name) for name in result]
        else:
            values = list(result) if isinstance(result, (tuple, list)) else [result]
            names = name_outputs(values, self._outputs)
        return {name: self._array(name, value) for name, value in zip(names, values)}

    def _array(self, name: str, value: Any) -> Any:
        """One output as an array; types that the protocol lacks become FP32."""
        torch = self._torch
        if not isinstance(value, torch.Tensor) or value.is_complex():
            found = "a complex tensor" if torch.is_tensor(value) else type(value)
            raise ExecutorError(
                ErrorCode.UNSUPPORTED_MODEL,
                f"the output '{name}' is not a tensor of plain numbers",
                field=f"outputs.{name}",
                expected="a tensor",
                found=str(found),
            )
        if value.dtype == torch.bfloat16:
            value = value.float()
        return value.detach().contiguous().numpy()


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


def _check_state(model: ModelFile, wanted: Any, found: Any) -> None:
    """Every weight there, none too many, each of the right shape."""
    if not isinstance(found, dict) or not all(
        hasattr(v, "shape") for v in found.values()
    ):
        raise _invalid_model(model, "the checkpoint is not a dictionary of weights")
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


def _invalid_model(model: ModelFile, text: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"{model.path.name} cannot be loaded: {text}",
        field="model",
        expected=f"a whole {model.format} file",
        found="one that torch refuses",
        path=str(model.path),
    )


def _model_error(error: Exception) -> str:
    """What failed, out of TorchScript's page-long traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in reversed(lines):
        match = re.match(r"(?:\w+\.)*\w*(?:Error|Exception): (.+)", line)
        if match:
            return match[1][:500]
    return lines[0][:500] if lines else type(error).__name__
