"""Networks of torch: TorchScript archives, and weights with what they belong to."""

import re
from pathlib import Path
from typing import Any

from ncn_executor.backends import Backend, check_outputs, run_failure
from ncn_executor.backends.torch_values import named_outputs
from ncn_executor.backends.torch_weights import WeightedNetwork, invalid_model
from ncn_executor.backends.torchscript import TorchScript
from ncn_executor.backends.transformers_folder import (
    TransformersNetwork,
    is_transformers_folder,
)
from ncn_executor.contract import Context
from ncn_executor.errors import first_line, is_out_of_memory
from ncn_executor.formats import ModelFile
from ncn_executor.tensors import Tensors


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


def write_small_model(path: Path) -> tuple[int, ...]:
    """Writes a TorchScript network of a few operators; the shape of its input "x"."""
    torch = import_torch(1)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 2),
        torch.nn.Softmax(1),
    ).eval()
    shape = (1, 1, 4, 4)
    with torch.inference_mode():
        torch.jit.save(torch.jit.trace(network, torch.zeros(shape)), str(path))
    return shape


class TorchBackend(Backend):
    """Runs a network on the CPU, without gradients."""

    def __init__(self, model: ModelFile, context: Context) -> None:
        with context.timed("import"):
            torch = import_torch(context.threads)
        self._torch = torch
        context.versions["torch"] = str(torch.__version__)
        self._outputs = model.manifest.outputs
        self._network: TorchScript | WeightedNetwork | TransformersNetwork
        try:
            if model.format == "torchscript":
                self._network = TorchScript(torch, model, context)
            elif is_transformers_folder(model):
                self._network = TransformersNetwork(torch, model, context)
            else:
                self._network = WeightedNetwork(torch, model, context)
        except (RuntimeError, ValueError, KeyError, EOFError) as error:
            if is_out_of_memory(error) or "Permission denied" in str(error):
                raise
            raise invalid_model(model, first_line(error)) from error
        self.inputs = self._network.inputs

    def run(self, tensors: Tensors) -> Tensors:
        try:
            with self._torch.inference_mode():
                result = self._network(tensors)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            raise run_failure(_model_error(error), self.inputs) from error
        outputs = named_outputs(self._torch, result, self._outputs)
        check_outputs(outputs, self._outputs)
        return outputs


def _model_error(error: Exception) -> str:
    """What failed, out of TorchScript's page-long traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in reversed(lines):
        match = re.match(r"(?:\w+\.)*\w*(?:Error|Exception): (.+)", line)
        if match:
            return match[1][:500]
    return lines[0][:500] if lines else type(error).__name__
