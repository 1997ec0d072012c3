"""Codes become the samples that numpy computes, by the codecs that there are."""

import io
import wave
from pathlib import Path
from typing import Any

import bark_codec
import bark_models as models
import numpy as np
import pytest
import torch
from conftest import Answer, Run, question, tensor

from fine_model_executor import FineModelExecutor


def codes_of(frames: int) -> Any:
    return np.random.default_rng(frames).integers(0, 1024, (8, frames))


def decode(run: Run, folder: Path, codes: Any) -> Answer:
    body = question(tensor(codes.tolist(), [*codes.shape], "INT64", "fine_tokens"))
    return run(folder / "fine.pt", body, FineModelExecutor)


def samples_of(answer: Answer) -> Any:
    assert answer.output is not None, answer.report
    with wave.open(io.BytesIO(answer.output)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def pcm(sound: Any) -> Any:
    """16 bits of numbers from -1 to 1; louder ones are cut."""
    return np.round(np.clip(np.float64(sound), -1, 1) * 32767)


class Loud(torch.nn.Module):  # type: ignore[misc]
    """From -2 to 2."""

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return (codes[:, :1].float() / 256.0 - 2.0).repeat_interleave(320, dim=2)


@pytest.mark.parametrize("loud", [False, True])
def test_samples_are_those_of_the_codec(run: Run, tmp_path: Path, loud: bool) -> None:
    models.save_stage(tmp_path / "fine.pt", "fine")
    models.save_codec(tmp_path / "codec.pt", Loud() if loud else models.Codec())
    codes = codes_of(30)
    found = samples_of(decode(run, tmp_path, codes))
    level = codes[0] / 256 - 2 if loud else codes.mean(0) / 512 - 1
    assert np.abs(found - np.repeat(pcm(level), 320)).max() <= 1
    assert (np.abs(found).max() == 32767) == loud


def scripted(module: Any) -> Any:
    return torch.jit.script(module)


def traced(module: Any) -> Any:
    """As README.md exports the published one."""
    return torch.jit.trace(module, torch.zeros(1, 8, 75, dtype=torch.int64))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("export", [scripted, traced])
@pytest.mark.parametrize("frames", [7, 75, 130])
def test_a_decoder_built_as_encodecs_gives_its_sound(
    run: Run, tmp_path: Path, export: Any, frames: int
) -> None:
    models.save_stage(tmp_path / "fine.pt", "fine")
    with torch.inference_mode():
        export(bark_codec.decoder()).save(str(tmp_path / "codec.pt"))
        codes = codes_of(frames)
        sound = bark_codec.decoder()(torch.from_numpy(codes)[None])
    assert sound.shape == (1, 1, bark_codec.SAMPLES_PER_FRAME * frames)
    for _ in range(2):  # No sound remembers the one before.
        found = samples_of(decode(run, tmp_path, codes))
        assert np.abs(found - pcm(sound.numpy().reshape(-1))).max() <= 1
    assert found.std() > 10


def test_each_codebook_is_heard(run: Run, tmp_path: Path) -> None:
    models.save_stage(tmp_path / "fine.pt", "fine")
    scripted(bark_codec.decoder()).save(str(tmp_path / "codec.pt"))
    codes = codes_of(20)
    heard = {samples_of(decode(run, tmp_path, codes)).tobytes()}
    for book in range(8):
        other = codes.copy()
        other[book] = (other[book] + 1) % 1024
        heard.add(samples_of(decode(run, tmp_path, other)).tobytes())
    assert len(heard) == 9
