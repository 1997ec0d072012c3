"""Small real models, made by the frameworks themselves."""

from pathlib import Path
from typing import Any

import onnx
import safetensors.torch
import torch
from ncn_executor.architectures import mlp
from ncn_executor.architectures.parameters import Parameters

PARAMETERS = {"sizes": [2, 4, 3], "softmax": True}
ARCHITECTURE = '[architecture]\nname = "mlp"\nsizes = [2, 4, 3]\nsoftmax = true\n'
TENSORS = """
[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 2]
[[outputs]]
name = "p"
datatype = "FP32"
shape = [-1, 3]
labels = ["a", "b", "c"]
"""


def network() -> Any:
    """The same small network each time."""
    torch.manual_seed(1)
    return mlp.build(Parameters(PARAMETERS)).eval()


def folder(parent: Path, name: str, manifest: str = "") -> Path:
    """A model folder; an empty manifest writes none."""
    path = parent / name
    path.mkdir()
    if manifest:
        (path / "model.toml").write_text(manifest)
    return path


def torchscript(parent: Path, module: Any, manifest: str = "") -> Path:
    """Scripts a module into a model folder."""
    path = folder(parent, "scripted", manifest)
    torch.jit.script(module).save(str(path / "m.pt"))
    return path / "m.pt"


def checkpoint(parent: Path, state: Any, manifest: str = ARCHITECTURE) -> Path:
    """Saves whatever it is given as torch.save does."""
    path = folder(parent, "saved", manifest)
    torch.save(state, str(path / "m.pt"))
    return path / "m.pt"


def weights(parent: Path, state: Any, manifest: str = ARCHITECTURE) -> Path:
    """Saves weights as safetensors."""
    path = folder(parent, "weights", manifest)
    safetensors.torch.save_file(state, str(path / "m.safetensors"))
    return path / "m.safetensors"


def onnx_model(
    parent: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    manifest: str = "",
) -> Path:
    """Writes an ONNX model; tensors are (name, element type, shape)."""
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [info(*i) for i in inputs], [info(*o) for o in outputs]
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[opset])
    path = folder(parent, "graph", manifest)
    (path / "m.onnx").write_bytes(model.SerializeToString())
    return path / "m.onnx"
