"""One workload, a second or so, run inside the sandbox or outside of it.

Prints the wall and the CPU seconds of the work alone, without imports and warm-up.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Work = Callable[[], Any]


def torch_work() -> Work:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    matrix = torch.rand(512, 512)
    images = torch.rand(4, 16, 64, 64)
    layer = torch.nn.Conv2d(16, 32, 3)

    def work() -> None:
        with torch.no_grad():
            for _ in range(12):
                matrix @ matrix
                layer(images)

    return work


def torchaudio_work() -> Work:
    import torch
    import torchaudio  # type: ignore[import]

    torch.set_num_threads(1)
    sound = torch.rand(1, 48_000 * 5)

    def work() -> None:
        with torch.no_grad():
            torchaudio.functional.resample(sound, 48_000, 16_000)

    return work


def onnxruntime_work() -> Work:
    import numpy
    import onnxruntime
    from onnx import TensorProto, helper

    size = 512
    nodes = [
        helper.make_node("MatMul", [f"x{i}", "w"], [f"x{i + 1}"]) for i in range(8)
    ]
    weight = numpy.full((size, size), 1 / size, dtype=numpy.float32)
    shape = [size, size]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("x8", TensorProto.FLOAT, shape)],
        [helper.make_tensor("w", TensorProto.FLOAT, shape, weight.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def work() -> None:
        session.run(None, {"x0": weight})

    return work


def scipy_work() -> Work:
    import numpy
    import scipy.fft
    import scipy.signal

    sound = numpy.random.default_rng(1).random(1 << 19)

    def work() -> None:
        scipy.fft.rfft(sound)
        scipy.signal.resample_poly(sound, 1, 3)

    return work


def soundfile_work() -> Work:
    import numpy
    import soundfile

    sound = numpy.random.default_rng(1).random(48_000 * 10) - 0.5
    folder = TemporaryDirectory()
    path = Path(folder.name) / "sound.wav"

    def work() -> None:
        soundfile.write(path, sound, 48_000)
        soundfile.read(path)
        assert folder

    return work


WORKLOADS = {
    "torch": torch_work,
    "torchaudio": torchaudio_work,
    "onnxruntime": onnxruntime_work,
    "scipy": scipy_work,
    "soundfile": soundfile_work,
}


def main() -> None:
    work = WORKLOADS[sys.argv[1]]()
    times = int(sys.argv[2])
    work()
    if times == 0:  # How often fills a second?
        begun, count = time.process_time(), 0
        while time.process_time() - begun < 1:
            work()
            count += 1
        print(json.dumps({"times": count}))
        return
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu}))


if __name__ == "__main__":
    main()
