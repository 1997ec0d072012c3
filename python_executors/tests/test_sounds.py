"""WAV and FLAC as tensors."""

import io
from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import pytest
import soundfile
import torch
from conftest import Run
from ncn_executor import sounds
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import TensorSpec
from ncn_executor.preprocess import AudioPreprocess
from ncn_executor.warm_up import made_up_inputs, made_up_request

TONE = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32) / 2


def encoded(samples: Any, rate: int = 8000, kind: str = "WAV") -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format=kind, subtype="PCM_16")
    return target.getvalue()


def decode(data: bytes, kind: str = "audio/wav", **how: Any) -> Any:
    datatype = how.pop("datatype", None)
    preprocess = AudioPreprocess(how.pop("sample_rate", 8000), **how)
    spec = TensorSpec("x", datatype, preprocess=preprocess)
    return sounds.decode_sound(data, kind, spec)


@pytest.mark.parametrize(
    ("form", "kind"), [("WAV", "audio/wav"), ("FLAC", "audio/flac")]
)
def test_samples_are_those_that_were_written(form: str, kind: str) -> None:
    found = decode(encoded(TONE, kind=form), kind)
    assert (found.shape, found.dtype) == ((1, 1, 8000), np.float32)
    assert np.abs(found[0, 0] - TONE).max() < 1e-4


def test_another_rate_is_resampled() -> None:
    found = decode(encoded(TONE), sample_rate=16000, layout="T")
    wanted = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) / 2
    assert found.shape == (16000,)
    assert np.abs(found[500:-500] - wanted[500:-500]).max() < 2e-3


def test_channels_are_mixed_or_copied() -> None:
    stereo = np.stack([TONE, -TONE], 1)
    assert np.abs(decode(encoded(stereo))).max() < 1e-4
    assert decode(encoded(TONE), channels=2).shape == (1, 2, 8000)
    with pytest.raises(ExecutorError, match="other channels"):
        decode(encoded(stereo), channels=3)


def test_a_length_that_is_wanted_is_cut_or_filled_with_silence() -> None:
    assert decode(encoded(TONE), samples=100).shape == (1, 1, 100)
    longer = decode(encoded(TONE), samples=9000, layout="NT")
    assert longer.shape == (1, 9000)
    assert not longer[0, 8000:].any()


def test_samples_come_in_the_models_datatype() -> None:
    whole = decode(encoded(TONE), datatype="INT16")
    assert whole.dtype == np.int16
    assert abs(int(whole.max()) - 16384) < 3
    assert decode(encoded(TONE), datatype="FP16").dtype == np.float16


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"RIFF", "audio/wav"),
        (b"", "audio/flac"),
        (encoded(TONE), "audio/flac"),
        (encoded(TONE, kind="FLAC")[:100], "audio/flac"),
        (encoded(TONE[:0]), "audio/wav"),
    ],
)
def test_what_is_no_such_sound_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        decode(data, kind)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert caught.value.expected
    assert caught.value.found


def test_a_sound_that_is_too_long_is_refused() -> None:
    with pytest.raises(ExecutorError) as caught:
        decode(encoded(np.zeros(8001, np.float32)), seconds_max=1)
    assert caught.value.code is ErrorCode.INPUT_TOO_LARGE


class Loudness(torch.nn.Module):  # type: ignore[misc]
    """The largest sample."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs().amax(-1)


HOW = """
[[inputs]]
name = "sound"
[inputs.preprocess]
kind = "audio"
sample_rate = 8000
layout = "NT"
"""


def test_a_model_whose_manifest_says_how_takes_sound(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, Loudness(), HOW)
    answer = run(path, encoded(TONE, kind="FLAC"), NCN_CONTENT_TYPE="audio/flac")
    assert abs(answer.data[0] - 0.5) < 1e-3
    refused = run(path, b"\x89PNG", NCN_CONTENT_TYPE="image/png")
    assert "does not take an image" in refused.error["message"]


def test_the_made_up_sound_is_silent() -> None:
    spec = TensorSpec("x", preprocess=AudioPreprocess(8000, channels=2))
    inputs = made_up_inputs([spec], full=True)
    assert inputs["x"].shape == (1, 2, 8000)
    request = made_up_request([spec], inputs)
    assert request is not None
    assert not decode(request.data, channels=2).any()
