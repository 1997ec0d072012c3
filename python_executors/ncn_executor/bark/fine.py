"""The third stage: two codebooks to all eight, in overlapping windows."""

import math
from collections.abc import Callable
from typing import Any

import torch

from ncn_executor.bark import constants as bark
from ncn_executor.bark.checkpoint import FineNetwork
from ncn_executor.bark.presets import Preset
from ncn_executor.bark.sampling import Sampler

Tensor = Any


def generate(
    network: FineNetwork,
    coarse: Tensor,
    preset: Preset | None,
    sampler: Sampler,
    tell: Callable[[float], None],
) -> Tensor:
    """Draws the codebooks that are missing.

    Args:
        coarse: int64 [2, n], n from 1.
        tell: hears how much is done, 0 to 1.

    Returns:
        int64 [8, n]; the first two rows are `coarse`.
    """
    frames = coarse.shape[1]
    window, overlap = bark.FINE_WINDOW, bark.FINE_OVERLAP
    before = None if preset is None else preset.fine[:, -overlap:]
    history = 0 if before is None else before.shape[1]
    size = max(history + frames, window)
    codes = torch.full((size, bark.FINE_CODEBOOKS), bark.CODE_PAD_TOKEN)
    if before is not None:
        codes[:history] = before.T
    codes[history : history + frames, : len(coarse)] = coarse.T
    windows = max(0, math.ceil((frames - (window - history)) / overlap)) + 1
    books = range(len(coarse), bark.FINE_CODEBOOKS)
    for index in range(windows):
        start = min(index * overlap, size - window)
        fill = min(history + index * overlap, size - overlap)
        seen = codes[start : start + window]  # A view: what is drawn is seen.
        for done, book in enumerate(books, 1):
            logits = network.logits(book, seen)[fill - start :, : bark.CODEBOOK_SIZE]
            drawn = sampler.draw(sampler.probabilities(logits))
            seen[fill - start :, book] = drawn
            tell((index + done / len(books)) / windows)
    return codes[history : history + frames].T.contiguous()
