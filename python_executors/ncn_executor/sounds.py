"""WAV and FLAC as a tensor, the way the manifest says."""

import io
import math

import numpy as np

from ncn_executor.datatypes import DATATYPES
from ncn_executor.errors import ErrorCode, ExecutorError, first_line, invalid_input
from ncn_executor.manifest import TensorSpec
from ncn_executor.preprocess import AudioPreprocess
from ncn_executor.tensors import Array

# Media type -> libsndfile's name of the format.
CONTENT_TYPES = {
    "audio/wav": "WAV",
    "audio/x-wav": "WAV",
    "audio/wave": "WAV",
    "audio/vnd.wave": "WAV",
    "audio/flac": "FLAC",
    "audio/x-flac": "FLAC",
}
_CHANNELS_MAX = 64
_SAMPLES_MAX = 1 << 28  # Of all channels together.
_INT16_MAX = 32767.0
_DATATYPES = ("FP32", "FP64", "FP16", "INT16")


def decode_sound(data: bytes, content_type: str, spec: TensorSpec) -> Array:
    """Decodes, mixes and resamples one sound.

    Returns:
        [1, channels, samples], [1, samples] or [samples], as the layout says, of the
        input's datatype: FP32 (unless it says otherwise), FP64 or FP16 from -1 to 1,
        or INT16.
    """
    how = spec.preprocess
    assert isinstance(how, AudioPreprocess)
    samples, rate = _samples(data, CONTENT_TYPES[content_type], how)
    samples = _mix(samples, how.channels)
    if rate != how.sample_rate:
        from scipy.signal import resample_poly

        common = math.gcd(rate, how.sample_rate)
        samples = resample_poly(
            samples, how.sample_rate // common, rate // common, axis=0
        )
    if how.samples:
        samples = samples[: how.samples]
        missing = how.samples - len(samples)
        samples = np.pad(samples, ((0, missing), (0, 0)))
    return _laid_out(samples, spec, how.layout)


def import_packages() -> None:
    """What `decode_sound` needs, so that no request waits for it."""
    import scipy.signal  # noqa: F401
    import soundfile  # noqa: F401


def _samples(data: bytes, kind: str, how: AudioPreprocess) -> tuple[Array, int]:
    """[samples, channels] FP32, and how many a second."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if not file.format.startswith(kind):
                raise ValueError(f"a file of the format {file.format}")
            rate, channels = file.samplerate, file.channels
            _check(rate, channels)
            limit = how.seconds_max * rate
            # What the header says of the length need not be true.
            found = file.read(
                min(limit + 1, _SAMPLES_MAX // channels), "float32", always_2d=True
            )
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise invalid_input(
            f"the sound cannot be read: {first_line(error)[:200]}",
            field="input",
            expected=f"a whole {kind} file",
            found=f"{len(data)} bytes of something else, or a damaged file",
        ) from error
    if len(found) > limit or found.size >= _SAMPLES_MAX - channels:
        raise ExecutorError(
            ErrorCode.INPUT_TOO_LARGE,
            "the sound is too long: send a shorter one",
            field="input",
            expected=f"at most {how.seconds_max} seconds",
            found="more",
        )
    if not len(found):
        raise invalid_input(
            "the sound is empty", field="input", expected="samples", found="none"
        )
    return found, rate


def _check(rate: int, channels: int) -> None:
    """A small file can claim anything."""
    if not 1 <= channels <= _CHANNELS_MAX or not 1 <= rate <= 1 << 22:
        raise ValueError(f"{channels} channels at {rate} Hz")


def _mix(samples: Array, wanted: int) -> Array:
    """[samples, wanted]."""
    channels = samples.shape[1]
    if channels == wanted:
        return samples
    if wanted == 1:
        mixed: Array = samples.mean(axis=1, keepdims=True, dtype=np.float32)
        return mixed
    if channels == 1:
        return np.repeat(samples, wanted, axis=1)
    raise invalid_input(
        "the sound has other channels than the model takes",
        field="input",
        expected=f"1 or {wanted} channels",
        found=f"{channels} channels",
    )


def _laid_out(samples: Array, spec: TensorSpec, layout: str) -> Array:
    values = np.asarray(samples, np.float32)
    if layout == "NCT":
        values = values.T
    laid = np.ascontiguousarray(values[np.newaxis] if layout == "NCT" else values.T)
    if layout == "T":
        laid = laid[0]
    if spec.datatype == "INT16":
        laid = np.rint(np.clip(laid, -1, 1) * _INT16_MAX)
    wanted = spec.datatype if spec.datatype in _DATATYPES else "FP32"
    result: Array = laid.astype(DATATYPES[wanted], copy=False)
    return result
