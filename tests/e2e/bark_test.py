"""Text to speech: four stages in one request, or one request for each stage."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import BIN, ROOT, START_SECONDS_MAX, Network, environment, ncn

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
    models.chmod(0o755)  # Ready sandboxes read it as another user.
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


def test_whoever_waits_hears_which_stage_runs(
    start_network: Callable[..., Network], bark: Path, tmp_path: Path
) -> None:
    network = start_network(bark)
    # Hot enough to draw the end of speech late: fifteen seconds of it.
    request = {"text": "As long as it gets.", "seed": 6, "temperature": 5}
    data = json.dumps({**request, "min_eos_p": None}).encode()
    result = network.infer("bark", data, "--progress")
    assert result.returncode == 0, result.stderr + network.log()
    told = re.findall(r"([\d.]+) %  (\w+)", result.stderr)
    assert len(told) >= 2, result.stderr + result.stdout
    fractions = [float(fraction) for fraction, _ in told]
    assert fractions == sorted(fractions)
    stages = [stage for _, stage in told]
    order = ["semantic", "coarse", "fine", "codec"]
    assert set(stages) <= set(order)
    assert stages == sorted(stages, key=order.index)


@contextlib.contextmanager
def attached_node(network: Network, models: Path, state: Path) -> Iterator[None]:
    """Another node at the gateway of a network, until the block ends."""
    log_path = state.with_suffix(".log")
    with log_path.open("w", encoding="utf-8") as log:
        command = [BIN / "compute_node", "--gateway-addr", network.address]
        command += ["--model-path", models, "--state-dir", state]
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while "Compute Node ready" not in log_path.read_text(encoding="utf-8"):
                assert process.poll() is None, log_path.read_text(encoding="utf-8")
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0, log_path.read_text(encoding="utf-8")


def test_stages_on_nodes_of_their_own_are_the_same_sound(
    start_network: Callable[..., Network], bark: Path, tmp_path: Path
) -> None:
    request = {"text": "Stage by stage.", "seed": 8, "voice": "low", "max_seconds": 1}
    given = tmp_path / "request.json"
    given.write_text(json.dumps(request), encoding="utf-8")
    whole = tmp_path / "whole.wav"
    result = start_network(bark).infer("bark", given, "--output", whole)
    assert result.returncode == 0, result.stderr
    for model in STAGES:
        (tmp_path / "nodes" / model).mkdir(parents=True)
        shutil.copytree(bark / model, tmp_path / "nodes" / model / model)
    folders = [tmp_path / "nodes" / model for model in STAGES]
    network = start_network(folders[0])
    signers = set()
    with attached_node(network, folders[1], tmp_path / "second"):
        with attached_node(network, folders[2], tmp_path / "third"):
            for model in STAGES:
                made = tmp_path / f"{model}.safetensors"
                saved = tmp_path / f"{model}.response.json"
                flags: list[str | Path] = ["--output", made, "--save", saved]
                if model != "bark_fine":
                    flags += ["--accept", SAFETENSORS]
                result = network.infer(model, given, *flags)
                assert result.returncode == 0, result.stderr + network.log()
                assert ncn("verify", saved).returncode == 0
                signers.add(signer_of(result.stdout))
                given = made
    assert given.read_bytes() == whole.read_bytes()
    assert len(signers) == len(STAGES)


def signer_of(text: str) -> str:
    """The wallet that signed, as `ncn infer` tells it."""
    return str(re.findall(r"^signer +(0x\w+)", text, re.M)[0])


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
