"""Trains a small network to read digits and exports it in three formats.

Runs inside the runtime image; `build` beside it does that:

    python3 train.py --fonts /model/fonts --output /work/out
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import render

HELD_OUT = ("roboto", "inconsolata", "cantarell", "carlito")
ACCURACY_MIN = 0.97
SEED = 20240229
EPOCHS = 6
BATCH = 128
THREADS = 2
PARAMETERS: dict[str, Any] = {
    "in_channels": 1,
    "height": render.SIDE,
    "width": render.SIDE,
    "channels": [16, 32],
    "kernel": 3,
    "hidden": [64],
    "classes": 10,
    "softmax": True,
}
MODEL_TOML = """\
[model]
name = "{name}"
version = "1.0.0"
format = "{format}"
file = "{file}"
license = "Apache-2.0"
description = "Reads one printed digit: dark ink on light paper."
{architecture}
[[inputs]]
name = "image"
datatype = "FP32"
shape = [-1, 1, {side}, {side}]

[inputs.preprocess]
kind = "image"
color = "L"
size = [{side}, {side}]
invert = true
scale = {scale!r}
layout = "NCHW"

[[outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 10]
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]

[limits]
timeout_secs = 30
memory_mb = 2048

[hashes]
"{file}" = "{digest}"
"""


def split_fonts(fonts: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Fonts to learn from, and whole families that are only tested on."""
    held_out = [f for f in fonts if f.name.lower().startswith(HELD_OUT)]
    return [f for f in fonts if f not in held_out], held_out


def as_inputs(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What model.toml's preprocessing makes of images: [N, 1, 28, 28] FP32."""
    ink = np.float32(255) - images.astype(np.float32)
    return (ink * np.float32(1 / 255))[:, np.newaxis]


def train(
    images: npt.NDArray[np.uint8], digits: npt.NDArray[np.int64], epochs: int
) -> Any:
    """Fits the network with Adam on cross entropy; returns it in eval mode."""
    import torch
    from ncn_executor.architectures import cnn
    from ncn_executor.architectures.parameters import Parameters

    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    network = cnn.build(Parameters(PARAMETERS)).train()
    # The loss wants what goes into the softmax, which is the last layer.
    logits = network[:-1]
    inputs, targets = torch.from_numpy(as_inputs(images)), torch.from_numpy(digits)
    steps = epochs * ((len(inputs) + BATCH - 1) // BATCH)
    optimizer = torch.optim.Adam(network.parameters(), weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=4e-3, total_steps=steps
    )
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.02)
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(logits(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        print(f"epoch {epoch + 1}/{epochs}: loss {total / len(inputs):.4f}", flush=True)
    return network.eval()


def accuracy(
    network: Any, images: npt.NDArray[np.uint8], digits: npt.NDArray[np.int64]
) -> float:
    """The part of images that are read right."""
    import torch

    with torch.inference_mode():
        found = network(torch.from_numpy(as_inputs(images))).argmax(1).numpy()
    return float((found == digits).mean())


def export(network: Any, folder: Path) -> None:
    """Writes the same weights as three model folders."""
    import safetensors.torch
    import torch

    example = torch.zeros(1, 1, render.SIDE, render.SIDE)
    names = ("digits", "digits_onnx", "digits_safetensors")
    for name in names:
        (folder / name).mkdir(parents=True)
    torch.jit.script(network).save(str(folder / names[0] / "model.pt"))
    torch.onnx.export(
        network,
        (example,),
        str(folder / names[1] / "model.onnx"),
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_axes={"image": {0: "batch"}, "probabilities": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    weights = str(folder / names[2] / "model.safetensors")
    safetensors.torch.save_file(network.state_dict(), weights)
    write_manifest(folder / names[0], "torchscript", "model.pt")
    write_manifest(folder / names[1], "onnx", "model.onnx")
    write_manifest(folder / names[2], "safetensors", "model.safetensors")


def write_manifest(folder: Path, model_format: str, file: str) -> None:
    """Writes model.toml beside a model file."""
    lines = ["", "[architecture]", 'name = "cnn"']
    for key, value in PARAMETERS.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"{key} = {text}")
    manifest = MODEL_TOML.format(
        name=folder.name,
        format=model_format,
        file=file,
        architecture="\n".join([*lines, ""]) if model_format == "safetensors" else "",
        side=render.SIDE,
        scale=1 / 255,
        digest=hashlib.sha256((folder / file).read_bytes()).hexdigest(),
    )
    (folder / "model.toml").write_text(manifest)


def write_samples(fonts: Sequence[Path], folder: Path) -> None:
    """One picture of each digit, in fonts that the network never saw."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(SEED + 2)
    for digit in range(10):
        font = fonts[int(generator.integers(len(fonts)))]
        pixels = render.render_digit(digit, font, generator)
        Image.fromarray(pixels).save(folder / f"{digit}_{font.stem.lower()}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws, trains, measures and exports; 1 when the network is not good enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fonts", type=Path, required=True, help="folder of fonts")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--per-digit", type=int, default=16, help="images per font")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    learnt, held_out = split_fonts(render.find_fonts(options.fonts))
    if not learnt or not held_out:
        print(f"{options.fonts} lacks the fonts of fonts.txt", file=sys.stderr)
        return 1
    images, digits = render.render_set(learnt, options.per_digit, SEED)
    print(f"drew {len(images)} digits in {len(learnt)} fonts", flush=True)
    network = train(images, digits, options.epochs)
    reached = accuracy(network, *render.render_set(held_out, 10, SEED + 1))
    took = time.monotonic() - start
    print(f"accuracy {reached:.2%} on {len(held_out)} fonts held out ({took:.0f} s)")
    if reached < ACCURACY_MIN:
        print(f"Error: at least {ACCURACY_MIN:.0%} is wanted", file=sys.stderr)
        return 1
    export(network, options.output / "models")
    write_samples(held_out, options.output / "samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
