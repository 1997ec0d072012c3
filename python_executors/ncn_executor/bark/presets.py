"""Voices: what somebody said before, as the tokens of all three stages (.npz)."""

import dataclasses
import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ncn_executor.bark import constants as bark
from ncn_executor.errors import ExecutorError, invalid_input

VOICES_FOLDER = "voices"
Tensor = Any
_BYTES_MAX = 16 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64})?")
_NAMES_SHOWN = 8
# What zipfile and numpy raise for a file that is damaged, or none of theirs.
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclasses.dataclass(frozen=True)
class Preset:
    """One voice.

    Attributes:
        semantic: int64 [n], n from 1.
        coarse: int64 [2, m]; m / n is about 75 / 49.9.
        fine: int64 [8, k].
    """

    semantic: Tensor
    coarse: Tensor
    fine: Tensor


def find_voice(folder: Path, name: str) -> Preset:
    """Reads `voices/NAME.npz` of a model's folder."""
    voices = folder / VOICES_FOLDER
    path = voices / f"{name}.npz"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = sorted(
            str(found.relative_to(voices).with_suffix(""))
            for found in (*voices.glob("*.npz"), *voices.glob("*/*.npz"))
        )
        raise invalid_input(
            "the model has no such voice",
            field="voice",
            expected=", ".join(known[:_NAMES_SHOWN]) or "none: the model has no voices",
            found=repr(name[:80]),
        )
    with path.open("rb") as file:
        return parse_preset(file.read(_BYTES_MAX + 1), "voice")


def parse_preset(data: bytes, field: str) -> Preset:
    """Reads an .npz file; one that holds a pickle is refused.

    Args:
        field: of the request that named the file, for errors.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            whole_bytes = sum(info.file_size for info in archive.infolist())
        if max(len(data), whole_bytes) > _BYTES_MAX:
            raise _wrong(field, f"at most {_BYTES_MAX} bytes", "more")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            names = ("semantic_prompt", "coarse_prompt", "fine_prompt")
            for name in names:
                if name not in arrays:
                    found = ", ".join(map(str, arrays))[:80] or "nothing"
                    raise _wrong(field, ", ".join(names), found)
            semantic, coarse, fine = (np.asarray(arrays[name]) for name in names)
    except _DAMAGES as error:
        # numpy says so when it would have to unpickle.
        has_pickle = "pickle" in str(error).lower()
        found = "a pickle, which is never read" if has_pickle else "another file"
        raise _wrong(field, "an .npz file of plain arrays", found) from error
    book = bark.CODEBOOK_SIZE
    preset = Preset(
        _tokens(field, "semantic_prompt", semantic, (), bark.SEMANTIC_VOCAB_SIZE),
        _tokens(field, "coarse_prompt", coarse, (bark.COARSE_CODEBOOKS,), book),
        _tokens(field, "fine_prompt", fine, (bark.FINE_CODEBOOKS,), book),
    )
    ratio = preset.coarse.shape[1] / len(preset.semantic)
    wanted = bark.COARSE_RATE_HZ / bark.SEMANTIC_RATE_HZ
    if round(ratio, 1) != round(wanted, 1):
        raise _wrong(
            f"{field}.coarse_prompt",
            f"about {wanted:.1f} frames for a semantic token",
            f"{ratio:.1f}",
        )
    return preset


def _tokens(
    field: str, name: str, array: Any, rows: tuple[int, ...], vocabulary: int
) -> Tensor:
    """One array as int64 [*rows, n], n from 1."""
    at = f"{field}.{name}"
    fits = array.ndim == len(rows) + 1 and array.shape[:-1] == rows and array.size
    if not fits or array.dtype.kind not in "iu":
        shape = ", ".join([*map(str, rows), "1 or more"])
        found = f"{array.dtype}, {list(array.shape)}"
        raise _wrong(at, f"whole numbers, [{shape}]", found)
    if array.min() < 0 or array.max() >= vocabulary:
        raise _wrong(at, f"numbers from 0 to {vocabulary - 1}", "one outside")
    return torch.from_numpy(array.astype(np.int64))


def _wrong(field: str, expected: str, found: str) -> ExecutorError:
    return invalid_input(
        "the voice cannot be used", field=field, expected=expected, found=found
    )
