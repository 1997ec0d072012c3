"""Proves, inside a freshly built image, that every executor package works.

Run by runtime_image/build as the last step inside the new root; any failure
fails the build. torch and onnxruntime never share a process (both register
the ONNX schemas), so each group runs in an interpreter of its own.
"""

import subprocess
import sys
import time

CHECKS = {
    "torch": """
import torch, torchaudio, safetensors.torch
torch.set_num_threads(1)
a = torch.ones(512, 512)
product = a @ a
assert float(product[3, 5]) == 512.0, product
maps = open("/proc/self/maps").read()
assert "openblas-openmp" in maps, "libopenblas0-openmp is not the BLAS in use"
assert torch.backends.mkldnn.is_available(), "oneDNN is missing"
script = torch.jit.script(torch.nn.Linear(2, 2))
assert script(torch.ones(1, 2)).shape == (1, 2)
""",
    "onnxruntime": """
import io
import numpy, onnx, onnxruntime
node = onnx.helper.make_node("Add", ["a", "a"], ["b"])
info = onnx.helper.make_tensor_value_info
graph = onnx.helper.make_graph(
    [node], "g", [info("a", 1, [2])], [info("b", 1, [2])])
model = onnx.helper.make_model(
    graph, ir_version=9, opset_imports=[onnx.helper.make_opsetid("", 17)])
session = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"])
out = session.run(None, {"a": numpy.array([1, 2], numpy.float32)})
assert out[0].tolist() == [2.0, 4.0], out
""",
    "numpy scipy soundfile pillow": """
import io
import numpy, scipy.signal, soundfile, PIL.Image
buffer = io.BytesIO()
soundfile.write(buffer, numpy.zeros(100), 8000, format="WAV")
PIL.Image.new("L", (4, 4)).save(io.BytesIO(), "PNG")
PIL.Image.new("L", (4, 4)).save(io.BytesIO(), "JPEG")
assert scipy.signal.resample(numpy.ones(8), 4).shape == (4,)
""",
}


def main() -> int:
    """Runs each group; returns 0 when all of them pass."""
    failed = 0
    for name, code in CHECKS.items():
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-B", "-c", code],
            capture_output=True,
            text=True,
            timeout=300,
            errors="replace",
        )
        took = time.monotonic() - start
        word = "works" if done.returncode == 0 else "FAILED"
        print(f"{name}: {word} ({took:.1f} s)")
        if done.returncode != 0:
            failed += 1
            print("\n".join(done.stderr.strip().splitlines()[-8:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
