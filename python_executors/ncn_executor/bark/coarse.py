"""The second stage: semantic tokens to the first two codebooks, 75 frames a second.

Codebooks take turns. A window of 60 steps is drawn at a time, after as much of the
semantic tokens as lies around it and what was drawn before.
"""

import math
from collections.abc import Callable
from typing import Any

import torch

from ncn_executor.bark import constants as bark
from ncn_executor.bark.checkpoint import CausalNetwork
from ncn_executor.bark.presets import Preset
from ncn_executor.bark.sampling import Sampler

Tensor = Any
_SEMANTIC_HISTORY_MAX = math.floor(bark.COARSE_HISTORY_MAX / bark.SEMANTIC_TO_COARSE)
# So much of a voice's last frames is left out, which aligns the two histories.
_CUT_STEPS = 2


def generate(
    network: CausalNetwork,
    semantic: Tensor,
    preset: Preset | None,
    sampler: Sampler,
    tell: Callable[[float], None],
) -> Tensor:
    """Draws both codebooks for all of the semantic tokens.

    Args:
        semantic: int64 [n], n from 1.
        tell: hears how much is done, 0 to 1.

    Returns:
        int64 [2, m], codes from 0; m is about n * 75 / 49.9.
    """
    books = bark.COARSE_CODEBOOKS
    steps = math.floor(len(semantic) * bark.SEMANTIC_TO_COARSE / books) * books
    semantic_before, drawn = _histories(preset)
    base = len(semantic_before)
    semantic = torch.cat((semantic_before, semantic))
    first = len(drawn)
    for start in range(0, steps, bark.COARSE_WINDOW_STEPS):
        at = base + round(start / bark.SEMANTIC_TO_COARSE)
        context = _context(semantic[max(0, at - _SEMANTIC_HISTORY_MAX) :], drawn)
        logits = network.start(context)
        for step in range(start, min(start + bark.COARSE_WINDOW_STEPS, steps)):
            if step > start:
                logits = network.step(drawn[-1])
            offset = bark.SEMANTIC_VOCAB_SIZE + step % books * bark.CODEBOOK_SIZE
            codes = logits[offset : offset + bark.CODEBOOK_SIZE]
            drawn.append(int(sampler.draw(sampler.probabilities(codes))) + offset)
            tell((step + 1) / steps)
    codes = torch.tensor(drawn[first:]).view(-1, books).T - bark.SEMANTIC_VOCAB_SIZE
    return codes - bark.CODEBOOK_SIZE * torch.arange(books)[:, None]


def _context(semantic: Tensor, drawn: list[int]) -> Tensor:
    """int64 [257 + up to 630]: semantic tokens, padded; the request; drawn codes."""
    tokens = torch.full((bark.CONTEXT_TOKENS + 1,), bark.COARSE_SEMANTIC_PAD_TOKEN)
    near = semantic[: bark.CONTEXT_TOKENS]
    tokens[: len(near)] = near
    tokens[-1] = bark.COARSE_INFER_TOKEN
    last = torch.tensor(drawn[-bark.COARSE_HISTORY_MAX :], dtype=torch.int64)
    return torch.cat((tokens, last))


def _histories(preset: Preset | None) -> tuple[Tensor, list[int]]:
    """The end of a voice: semantic tokens, and codes as the network numbers them."""
    if preset is None:
        return torch.empty(0, dtype=torch.int64), []
    books = bark.COARSE_CODEBOOKS
    shift = bark.CODEBOOK_SIZE * torch.arange(books)[:, None]
    coarse = (preset.coarse + shift).T.reshape(-1) + bark.SEMANTIC_VOCAB_SIZE
    count = min(
        _SEMANTIC_HISTORY_MAX,
        len(preset.semantic) // 2 * 2,
        math.floor(len(coarse) / bark.SEMANTIC_TO_COARSE),
    )
    steps = round(count * bark.SEMANTIC_TO_COARSE)
    semantic = preset.semantic[len(preset.semantic) - count :]
    return semantic, coarse[len(coarse) - steps :][:-_CUT_STEPS].tolist()
