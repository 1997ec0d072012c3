"""Folders that the transformers library wrote: config.json and weights."""

import inspect
import json
from pathlib import Path
from typing import Any

from ncn_executor.backends import contradiction
from ncn_executor.backends.torch_values import to_torch
from ncn_executor.backends.torch_weights import invalid_model, refuse_nan
from ncn_executor.contract import Context
from ncn_executor.errors import ErrorCode, ExecutorError, first_line
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import Tensors

CONFIG = "config.json"
_CONFIG_BYTES_MAX = 1024 * 1024


def is_transformers_folder(model: ModelFile) -> bool:
    """Whether nothing else says what network the weights belong to."""
    manifest, folder = model.manifest, model.path.parent
    others = manifest.architecture or (folder / "model.py").exists()
    return not others and model.format != "torchscript" and bool(_config(folder))


class TransformersNetwork:
    """A model of the library, by the class that its config.json names.

    Attributes:
        inputs: the manifest's; empty without one. Then the names are those of the
            class's `forward`.
    """

    def __init__(self, torch: Any, model: ModelFile, context: Context) -> None:
        self._torch = torch
        folder = model.path.parent
        with context.timed("import"):
            import transformers
        context.versions["transformers"] = str(transformers.__version__)
        named = _config(folder).get("architectures")
        name = named[0] if isinstance(named, list) and named else "AutoModel"
        kind = getattr(transformers, str(name), None)
        if kind is None:
            raise ExecutorError(
                ErrorCode.UNSUPPORTED_MODEL,
                f"transformers {transformers.__version__} has no {str(name)[:80]}",
                field=f"{CONFIG}: architectures",
                expected="a class of the library",
                found=str(name)[:80],
            )
        try:
            # Code of the folder's own belongs into model.py.
            self.module = kind.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            ).eval()
        except (OSError, ValueError, ImportError) as error:
            raise invalid_model(model, first_line(error)) from error
        self._known = list(inspect.signature(self.module.forward).parameters)
        self.inputs: tuple[TensorSpec, ...] = model.manifest.inputs
        for spec in self.inputs:
            if spec.name not in self._known:
                raise contradiction(
                    f"inputs.{spec.name}", spec.name, ", ".join(self._known)[:400]
                )
        if context.check_weights:
            refuse_nan(torch, model, self.module)

    def __call__(self, tensors: Tensors) -> Any:
        for name in tensors:
            if name not in self._known:
                raise ExecutorError(
                    ErrorCode.INVALID_INPUT,
                    f"the model has no input '{name[:80]}'",
                    field=f"inputs.{name[:80]}",
                    expected=", ".join(self._known)[:400],
                    found=name[:80],
                )
        given = {n: to_torch(self._torch, n, array) for n, array in tensors.items()}
        return dict(self.module(**given))


def _config(folder: Path) -> dict[str, Any]:
    """config.json, if it is one of transformers; else nothing."""
    try:
        with (folder / CONFIG).open("rb") as file:
            config = json.loads(file.read(_CONFIG_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) and "model_type" in config else {}
