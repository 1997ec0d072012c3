"""Text to speech: four stages in one request, or one request for each stage."""

import io
import json
import os
import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Network, ncn

SAFETENSORS = "application/x-safetensors"
# Model of one stage -> the files of the whole model that it needs.
STAGES = {
    "bark_semantic": ("semantic.pt", "vocab.txt", "voices"),
    "bark_coarse": ("coarse.pt", "voices"),
    "bark_fine": ("fine.pt", "codec.pt", "voices"),
}


@pytest.fixture(scope="module")
def bark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with the whole model, and with a model for each stage."""
    built = subprocess.run(
        [ROOT / "examples" / "bark" / "build"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ,
    )
    whole = Path(built.stdout.strip()) / "bark"
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(whole, models / "bark")
    for model, names in STAGES.items():
        (models / model).mkdir()
        for name in names:
            if (whole / name).is_dir():
                shutil.copytree(whole / name, models / model / name)
            else:
                shutil.copy(whole / name, models / model / name)
        manifest = f'[model]\nname = "{model}"\nfile = "{names[0]}"\n'
        (models / model / "model.toml").write_text(manifest, encoding="utf-8")
    return models


def test_a_text_becomes_sound_and_a_seed_the_same_sound(
    start_network: Callable[..., Network], bark: Path, tmp_path: Path
) -> None:
    network = start_network(bark)
    text = ("--text", "Hello, my name is Bark.", "--seed", "6")
    sounds = []
    for name in ("first.wav", "second.wav"):
        output, saved = tmp_path / name, tmp_path / "response.json"
        flags = ("--gateway-addr", network.address, "--model", "bark", *text)
        result = ncn("infer", *flags, "--output", output, "--save", saved)
        assert result.returncode == 0, result.stderr + network.log()
        assert "strict" in result.stdout
        assert ncn("verify", saved).returncode == 0
        assert json.loads(saved.read_text())["content_type"] == "audio/wav"
        sounds.append(output.read_bytes())
    assert sounds[0] == sounds[1]
    with wave.open(io.BytesIO(sounds[0])) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getframerate() == 24_000
        assert file.getnframes() > 24_000
        assert len(set(file.readframes(24_000))) > 100


def test_stage_by_stage_is_the_same_sound(
    start_network: Callable[..., Network], bark: Path, tmp_path: Path
) -> None:
    network = start_network(bark)
    request = {"text": "Stage by stage.", "seed": 8, "voice": "low", "max_seconds": 1}
    (tmp_path / "request.json").write_text(json.dumps(request), encoding="utf-8")
    whole = tmp_path / "whole.wav"
    result = network.infer("bark", tmp_path / "request.json", "--output", whole)
    assert result.returncode == 0, result.stderr + network.log()
    given = tmp_path / "request.json"
    for model in STAGES:
        made = tmp_path / f"{model}.safetensors"
        flags: list[str | Path] = ["--output", made]
        if model != "bark_fine":
            flags += ["--accept", SAFETENSORS]
        result = network.infer(model, given, *flags)
        assert result.returncode == 0, result.stderr + network.log()
        given = made
    assert given.read_bytes() == whole.read_bytes()


def test_bad_texts_end_in_typed_errors(
    start_network: Callable[..., Network], bark: Path
) -> None:
    network = start_network(bark)
    flags = ("--gateway-addr", network.address, "--model", "bark")
    for text, expected in ((" ", "the text is empty"), ("a " * 300, "too long")):
        result = ncn("infer", *flags, "--text", text)
        assert result.returncode == 1
        assert expected in result.stderr, result.stderr
    result = ncn("infer", *flags)
    assert result.returncode != 0
    assert "--text" in result.stderr
