"""Drawing, splitting, training and exporting digits."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import render
import train
from ncn_executor.manifest import parse_manifest

ROOT = Path(__file__).resolve().parents[3]
# The folder of fonts that the build trains with; given by tests/run.
FONTS = Path(os.environ.get("NCN_DIGITS_FONTS", "/usr/share/fonts"))
SMALL = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "Carlito-Regular.ttf")


@pytest.fixture(scope="module")
def fonts() -> list[Path]:
    """A few fonts, one of them of a family that is held out."""
    found = [path for path in render.find_fonts(FONTS) if path.name in SMALL]
    assert len(found) == 3, "the fonts of fonts.txt are not in " + str(FONTS)
    return found


def test_a_digit_is_dark_ink_on_light_paper(fonts: list[Path]) -> None:
    plain = render.Style(rotation_degrees=0, shift_pixels=0, noise=0)
    pixels = render.render_digit(8, fonts[0], np.random.default_rng(1), plain)
    assert pixels.shape == (28, 28)
    assert pixels.dtype == np.uint8
    assert pixels[0].min() == pixels[:, 0].min() == 255
    assert pixels.min() < 128


def test_one_seed_gives_one_set(fonts: list[Path]) -> None:
    first, digits = render.render_set(fonts[:1], 2, seed=3)
    again, _ = render.render_set(fonts[:1], 2, seed=3)
    other, _ = render.render_set(fonts[:1], 2, seed=4)
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert digits.tolist() == [d for d in range(10) for _ in range(2)]


def test_files_that_are_no_fonts_with_digits_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    (tmp_path / "OpenSymbol.ttf").write_bytes(b"no digits")
    (tmp_path / "README").write_text("x")
    assert render.find_fonts(tmp_path) == []


def test_held_out_families_are_never_learnt_from(fonts: list[Path]) -> None:
    learnt, held_out = train.split_fonts(fonts)
    assert [font.name for font in held_out] == ["Carlito-Regular.ttf"]
    assert len(learnt) == 2
    everything = render.find_fonts(FONTS)
    learnt, held_out = train.split_fonts(everything)
    families = {font.name.split("-")[0] for font in held_out}
    assert not families & {font.name.split("-")[0] for font in learnt}
    assert len(learnt) > 50
    assert len(held_out) > 10


def run_model(folder: Path, image: Path, work: Path) -> dict[str, Any]:
    """One model on one image, in a process of its own."""
    output = work / f"{folder.name}.json"
    script = ROOT / "python_executors" / "generic_model_executor.py"
    arguments = ["--model", str(folder), "--input", str(image), "--output", str(output)]
    subprocess.run([sys.executable, str(script), *arguments], check=True)
    answer: dict[str, Any] = json.loads(output.read_text())["outputs"][0]
    return answer


def test_three_formats_of_one_network_agree(fonts: list[Path], tmp_path: Path) -> None:
    images, digits = render.render_set(fonts, 4, seed=1)
    network = train.train(images, digits, epochs=2)
    assert 0.0 <= train.accuracy(network, images, digits) <= 1.0
    train.export(network, tmp_path / "models")
    train.write_samples(fonts, tmp_path / "samples")
    samples = sorted((tmp_path / "samples").iterdir())
    assert [sample.name[0] for sample in samples] == list("0123456789")
    answers = [
        run_model(folder, samples[3], tmp_path)
        for folder in sorted((tmp_path / "models").iterdir())
    ]
    scripted, onnx, safetensors = (np.array(answer["data"]) for answer in answers)
    assert answers[0]["name"] == "probabilities"
    assert answers[0]["shape"] == [1, 10]
    assert answers[0]["parameters"]["labels"] == list("0123456789")
    assert abs(scripted.sum() - 1.0) < 1e-5
    assert np.abs(scripted - onnx).max() < 1e-4
    assert np.abs(scripted - safetensors).max() <= 1e-6


def test_manifests_are_valid_and_state_the_hash(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    train.write_manifest(tmp_path, "safetensors", "model.safetensors")
    text = (tmp_path / "model.toml").read_text()
    manifest = parse_manifest(text)
    assert manifest.parameters == train.PARAMETERS
    assert manifest.inputs[0].preprocess is not None
    assert len(tomllib.loads(text)["hashes"]["model.safetensors"]) == 64


def test_preprocessing_in_training_is_that_of_the_manifest() -> None:
    from ncn_executor.images import _normalise
    from ncn_executor.manifest import TensorSpec
    from ncn_executor.preprocess import ImagePreprocess

    pixels = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
    how = ImagePreprocess("L", (28, 28), scale=1 / 255, invert=True)
    spec = TensorSpec("image", "FP32", preprocess=how)
    declared = _normalise(pixels[:, :, np.newaxis], spec)
    assert train.as_inputs(pixels[np.newaxis]).tobytes() == declared.tobytes()


def test_training_without_fonts_or_accuracy_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fonts: list[Path]
) -> None:
    arguments = ["--output", str(tmp_path / "out"), "--per-digit", "1"]
    assert train.main(["--fonts", str(tmp_path), *arguments]) == 1
    monkeypatch.setattr(render, "find_fonts", lambda folder: fonts)
    assert train.main(["--fonts", "x", "--epochs", "1", *arguments]) == 1
    assert not (tmp_path / "out").exists()
