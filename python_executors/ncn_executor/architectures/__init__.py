"""The networks that a file of bare weights can be run with.

A manifest names one and gives its parameters:

    [architecture]
    name = "mlp"
    sizes = [16, 32, 4]

To add one: write a module with `build(parameters) -> torch.nn.Module` and name
it in ARCHITECTURES.
"""

import importlib
from typing import Any

from ncn_executor.architectures.parameters import Parameters
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import FILE_NAME, Manifest

# Name in the manifest -> module of this package that builds it.
ARCHITECTURES = {"mlp": "mlp", "cnn": "cnn"}


def build_architecture(manifest: Manifest) -> Any:
    """Makes the network that a manifest names, with untrained weights."""
    name = manifest.architecture
    if not name:
        raise ExecutorError(
            ErrorCode.UNSUPPORTED_MODEL,
            "the file holds weights but no network: name the network in "
            f"{FILE_NAME}, as [architecture] name = ..., or export TorchScript or ONNX",
            field="architecture.name",
            expected=", ".join(ARCHITECTURES),
            found="nothing",
        )
    if name not in ARCHITECTURES:
        raise ExecutorError(
            ErrorCode.UNSUPPORTED_MODEL,
            f"the architecture '{name[:80]}' is not known",
            field="architecture.name",
            expected=", ".join(ARCHITECTURES),
            found=name[:80],
        )
    module = importlib.import_module(f"{__name__}.{ARCHITECTURES[name]}")
    parameters = Parameters(manifest.parameters)
    network = module.build(parameters)
    parameters.refuse_unused()
    return network
