"""The last step: codes to sound, by EnCodec's decoder as TorchScript.

    forward(codes: int64 [1, 8, frames]) -> waveform FP32 [..., samples], 24 kHz, mono
"""

import io
import wave
from pathlib import Path
from typing import Any

import torch

from ncn_executor.bark.constants import SAMPLE_RATE_HZ
from ncn_executor.bark.scripted import Script
from ncn_executor.errors import ErrorCode, ExecutorError

CONTENT_TYPE = "audio/wav"
Tensor = Any
_SAMPLE_MAX = 32767


class Codec:
    """A loaded decoder."""

    def __init__(self, path: Path) -> None:
        self._module = Script(path)

    def decode(self, codes: Tensor) -> Tensor:
        """FP32 [samples] for int64 [8, frames]."""
        sound = self._module(codes[None])
        is_mono = sound.ndim >= 1 and sound.numel() == sound.shape[-1] > 0
        if not is_mono or not sound.is_floating_point():
            raise _invalid("[1, 1, samples]", f"{sound.dtype}, {list(sound.shape)}")
        if not torch.isfinite(sound).all():
            raise _invalid("finite numbers", "NaN or Infinity")
        return sound.reshape(-1).float()


def wav_of(sound: Tensor) -> bytes:
    """A WAV file, 16 bits, of samples from -1 to 1; louder ones are cut."""
    samples = (sound.clamp(-1, 1) * _SAMPLE_MAX).round().to(torch.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes(samples.numpy().astype("<i2").tobytes())
    return file.getvalue()


def _invalid(expected: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        "the codec gives no sound",
        field="codec",
        expected=expected,
        found=found,
    )
