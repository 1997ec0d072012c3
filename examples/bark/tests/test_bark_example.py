"""The small model of Bark: what it is made of, and that it sounds as it is told."""

import base64
import json
import math
import sys
import wave
from pathlib import Path
from typing import Any

import make_bark
import numpy as np
import pytest
import spectrogram
from ncn_executor.contract import Context, Request
from ncn_executor.manifest import read_manifest
from PIL import Image

from bark_model_executor import BarkModelExecutor

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, made as `build` makes it."""
    output = tmp_path_factory.mktemp("bark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["make_bark.py", "--output", str(output)])
        make_bark.main()
    return output / "models" / "bark"


@pytest.fixture(scope="module")
def bark(folder: Path) -> BarkModelExecutor:
    executor = BarkModelExecutor()
    executor.load(folder, Context())
    return executor


def speak(executor: BarkModelExecutor, **body: Any) -> bytes:
    text = {"text": "Hello, my name is Bark.", "seed": 6, **body}
    return executor.run(Request(json.dumps(text).encode())).data


def sound_of(data: bytes, folder: Path) -> Any:
    (folder / "sound.wav").write_bytes(data)
    sound, rate_hz = spectrogram.read_sound(folder / "sound.wav")
    assert rate_hz == RATE_HZ
    return sound


def test_the_model_is_described(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert (manifest.name, manifest.file) == ("bark", "semantic.pt")


def test_it_is_made_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    make_bark.make_model(tmp_path)
    for name in ("semantic.pt", "coarse.pt", "fine.pt", "vocab.txt"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_it_speaks_for_seconds(bark: BarkModelExecutor, tmp_path: Path) -> None:
    sound = sound_of(speak(bark), tmp_path)
    assert RATE_HZ < len(sound) < 16 * RATE_HZ
    assert 0.1 < np.abs(sound).max() < 1.0


def pitch_hz(sound: Any) -> float:
    """Where the sound is most like itself, shifted."""
    middle = sound[len(sound) // 2 :][:4096]
    alike = np.correlate(middle, middle, "full")[4096:]
    low, high = RATE_HZ // 500, RATE_HZ // 90
    return RATE_HZ / (low + 1 + int(alike[low:high].argmax()))


def test_voices_differ_in_pitch(bark: BarkModelExecutor, tmp_path: Path) -> None:
    how = {"max_seconds": 0.5, "min_eos_p": None, "temperature": 0.4}
    low = pitch_hz(sound_of(speak(bark, voice="low", **how), tmp_path))
    high = pitch_hz(sound_of(speak(bark, voice="high", **how), tmp_path))
    assert low * 1.5 < high


def test_a_voice_may_come_with_the_request(
    bark: BarkModelExecutor, folder: Path
) -> None:
    npz = base64.b64encode((folder / "voices" / "low.npz").read_bytes()).decode()
    how = {"max_seconds": 0.1, "min_eos_p": None}
    assert speak(bark, history=npz, **how) == speak(bark, voice="low", **how)


def tone(path: Path, hertz: float, channels: int = 1) -> None:
    times = np.arange(RATE_HZ * channels) / RATE_HZ
    samples = (np.sin(2 * math.pi * hertz * times) * 20_000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def test_a_tone_is_a_line_at_its_frequency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(tmp_path / "tone.wav", 1500)
    arguments = ["spectrogram.py", str(tmp_path / "tone.wav"), str(tmp_path / "t.png")]
    monkeypatch.setattr(sys, "argv", arguments)
    spectrogram.main()
    with Image.open(tmp_path / "t.png") as file:
        grey = np.asarray(file.convert("L")).astype(int)
    column = grey[8 : 8 + spectrogram.HEIGHT, spectrogram.MARGIN + 70]
    # Of 3 kHz, half way up.
    assert abs(int(column.argmax()) - spectrogram.HEIGHT // 2) <= 3
    assert column.max() > 200 and column.min() < 30


def test_other_sounds_are_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone(tmp_path / "two.wav", 440, channels=2)
    with pytest.raises(SystemExit, match="not mono"):
        spectrogram.read_sound(tmp_path / "two.wav")
    monkeypatch.setattr(sys, "argv", ["spectrogram.py"])
    with pytest.raises(SystemExit, match="Draws"):
        spectrogram.main()
