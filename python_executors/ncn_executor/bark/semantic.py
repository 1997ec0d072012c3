"""The first stage: a text's tokens to semantic tokens, 49.9 of which are a second."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ncn_executor.bark import constants as bark
from ncn_executor.bark.checkpoint import CausalNetwork
from ncn_executor.bark.sampling import Sampler

Tensor = Any


def context_of(text: Sequence[int], history: Sequence[int]) -> Tensor:
    """What generation begins with.

    Args:
        text: at most CONTEXT_TOKENS tokens of the text's own vocabulary.
        history: semantic tokens of a voice; the last CONTEXT_TOKENS count.

    Returns:
        int64 [2 * CONTEXT_TOKENS + 1]: text and history, padded, and the request to
        infer.
    """
    size = bark.CONTEXT_TOKENS
    tokens = torch.full((2 * size + 1,), bark.SEMANTIC_PAD_TOKEN)
    tokens[:size] = bark.TEXT_PAD_TOKEN
    tokens[: len(text)] = torch.tensor(text) + bark.TEXT_ENCODING_OFFSET
    kept = history[-size:]
    tokens[size : size + len(kept)] = torch.tensor(kept, dtype=torch.int64)
    tokens[-1] = bark.SEMANTIC_INFER_TOKEN
    return tokens


def generate(
    network: CausalNetwork,
    context: Tensor,
    sampler: Sampler,
    *,
    min_eos_p: float | None,
    max_seconds: float | None,
    tell: Callable[[float], None],
) -> Tensor:
    """Draws tokens until the end is drawn or likely, or one of the limits is reached.

    Args:
        context: as `context_of` makes it.
        min_eos_p: ends when the end is at least so likely.
        max_seconds: of speech.
        tell: hears how much is done, 0 to 1.

    Returns:
        int64 [n], n from 0 to SEMANTIC_STEPS_MAX.
    """
    end = bark.SEMANTIC_VOCAB_SIZE  # Where the logits of a pad are put.
    drawn: list[int] = []
    logits = network.start(context, merge_context=True)
    while True:
        wanted = torch.cat(
            (
                logits[:end],
                logits[bark.SEMANTIC_PAD_TOKEN : bark.SEMANTIC_PAD_TOKEN + 1],
            )
        )
        probabilities = sampler.probabilities(wanted)
        token = int(sampler.draw(probabilities))
        if token == end or (min_eos_p is not None and probabilities[end] >= min_eos_p):
            break
        drawn.append(token)
        steps = len(drawn)
        tell(steps / bark.SEMANTIC_STEPS_MAX)
        is_long = (
            max_seconds is not None and steps / bark.SEMANTIC_RATE_HZ > max_seconds
        )
        if is_long or steps == bark.SEMANTIC_STEPS_MAX:
            break
        logits = network.step(token)
    return torch.tensor(drawn, dtype=torch.int64)
