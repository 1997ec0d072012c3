"""What a zygote does before it has children: it answers requests for a small model.

Frameworks fill tables when they first run, and Python adapts its code to what it is
run on. Children find both done.
"""

import sys
import tempfile
from pathlib import Path

from ncn_executor import execution, ready_child, safetensors_codec
from ncn_executor.contract import Context, Request
from ncn_executor.manifest import TensorSpec
from ncn_executor.scripts import MODULE_NAME, executor_of_script
from ncn_executor.warm_up import made_up_inputs, made_up_request

# Python looks at code that has run eight times, and after failures less and less often.
_RUNS = 64


def rehearse(framework: str, script: Path) -> None:
    """Loads a small model as a child does, and answers requests in both forms.

    Args:
        framework: "torch" or "onnxruntime", whichever is imported.
        script: of the generic executor.
    """
    kept = sys.path[:], sys.argv[:], sys.modules["__main__"]
    with tempfile.TemporaryDirectory() as folder:
        shape, model = _small_model(framework, Path(folder))
        context = Context()
        executor = executor_of_script(script, Path(folder))
        execution.load(executor, model, context)
        specs = [TensorSpec("x", "FP32", shape)]
        inputs = made_up_inputs(specs, True)
        tensors = safetensors_codec.encode(inputs, "", "", "")
        requests = (
            made_up_request(specs, inputs),
            Request(tensors, safetensors_codec.CONTENT_TYPE),
        )
        for _ in range(_RUNS):
            for request in filter(None, requests):
                ready_child.rehearse(executor, request, context)
    sys.path[:], sys.argv[:] = kept[:2]
    sys.modules["__main__"] = kept[2]
    del sys.modules[MODULE_NAME]


def _small_model(framework: str, folder: Path) -> tuple[tuple[int, ...], Path]:
    """A model, and the shape of its input "x"."""
    if framework == "torch":
        from ncn_executor.backends.torch_backend import write_small_model

        model = folder / "model.pt"
        return write_small_model(model), model
    from ncn_executor.backends.onnx_backend import SMALLEST_MODEL

    model = folder / "model.onnx"
    model.write_bytes(SMALLEST_MODEL)
    return (1,), model
