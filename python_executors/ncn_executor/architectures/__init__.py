"""The networks that a file of bare weights can be run with.

A manifest names one and gives its parameters:

    [architecture]
    name = "mlp"
    sizes = [16, 32, 4]

To add one: write a module with `build(parameters) -> torch.nn.Module` and name
it in ARCHITECTURES. A network may say what it takes: `inputs`, a tuple of TensorSpec,
whose names are those of requests, or else `takes`, whose names do not count; and
what it gives: `gives`. A manifest is held against these when the model is loaded.

A model may bring its own: `model.py` beside the weights (or name = "FILE.py") with
`build(**parameters)`, which returns the network.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from ncn_executor.architectures.parameters import Parameters
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import FILE_NAME, Manifest

# Name in the manifest -> module of this package that builds it.
ARCHITECTURES = {"mlp": "mlp", "cnn": "cnn", "gpt": "gpt", "encoder": "encoder"}
OWN_FILE = "model.py"


def build_architecture(manifest: Manifest, folder: Path | None = None) -> Any:
    """Makes the network that a manifest names, with untrained weights.

    Args:
        folder: of the model, where its own code may lie.
    """
    name = manifest.architecture
    if not name and folder is not None and (folder / OWN_FILE).is_file():
        name = OWN_FILE
    if name.endswith(".py") and folder is not None:
        return _build_own(folder, name, dict(manifest.parameters))
    if name not in ARCHITECTURES:
        raise ExecutorError(
            ErrorCode.UNSUPPORTED_MODEL,
            (
                f"the architecture '{name[:80]}' is not known"
                if name
                else "the file holds weights but no network: name the network in "
                f"{FILE_NAME}, as [architecture] name = ..., put a {OWN_FILE} beside "
                "it, or export TorchScript or ONNX"
            ),
            field="architecture.name",
            expected=", ".join([*ARCHITECTURES, OWN_FILE]),
            found=name[:80] or "nothing",
        )
    module = importlib.import_module(f"{__name__}.{ARCHITECTURES[name]}")
    parameters = Parameters(manifest.parameters)
    network = module.build(parameters)
    parameters.refuse_unused()
    return network


def _build_own(folder: Path, name: str, parameters: dict[str, Any]) -> Any:
    """The network of the model's own code, which runs in its sandbox like all else."""
    if "/" in name or not (folder / name).is_file():
        raise _own_error(name, "a file beside the weights", "nothing")
    spec = importlib.util.spec_from_file_location("model_of_its_own", folder / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        build = getattr(module, "build", None)
        if not callable(build):
            raise _own_error(name, "a function build(**parameters)", "none")
        network = build(**parameters)
    except ExecutorError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # Whatever foreign code raises.
        found = f"{type(error).__name__}: {error}"[:200]
        raise _own_error(name, "a network", found) from error
    if not hasattr(network, "load_state_dict"):
        raise _own_error(name, "a torch.nn.Module", type(network).__name__)
    return network


def _own_error(name: str, expected: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"{name[:80]} gives no network",
        field="architecture",
        expected=expected,
        found=found,
        path=name[:80],
    )
