"""Draws tokens from logits, so that a seed decides what is drawn."""

import hashlib
from typing import Any

import torch

from ncn_executor.errors import ErrorCode, ExecutorError

Tensor = Any


def generator_for(seed: int, stage: str) -> Any:
    """The random numbers of one stage, the same whether it runs alone or after others.

    Args:
        seed: 0 to 2**64 - 1.
    """
    digest = hashlib.sha256(f"{seed} {stage}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Sampler:
    """Draws one token after another.

    Args:
        temperature: divides logits; 0 takes the likeliest.
        top_k: only so many of the likeliest may be drawn; None: all.
        top_p: only the likeliest whose probabilities add up to it; None: all. The one
            that passes the sum is among them (nucleus sampling, Holtzman et al. 2019).
        generator: a torch.Generator.
    """

    def __init__(
        self,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        generator: Any,
    ) -> None:
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p
        self._generator = generator

    def probabilities(self, logits: Tensor) -> Tensor:
        """What may be drawn, and how likely: FP32 [..., n] for logits [..., n]."""
        if not torch.isfinite(logits).all():
            raise ExecutorError(
                ErrorCode.INVALID_MODEL,
                "the network computed something that is not a number",
                field="logits",
                expected="finite numbers",
                found="NaN or Infinity",
            )
        if self._temperature == 0:
            best = logits.argmax(-1, keepdim=True)
            return torch.zeros_like(logits).scatter_(-1, best, 1.0)
        if self._top_p is not None:
            ordered, order = logits.sort(dim=-1, descending=True, stable=True)
            sums = ordered.softmax(-1).cumsum(-1)
            surplus = (sums > self._top_p).roll(1, -1)
            surplus[..., 0] = False
            logits = logits.masked_fill(surplus.scatter(-1, order, surplus), -torch.inf)
        if self._top_k is not None:
            count = min(self._top_k, logits.shape[-1])
            least = logits.topk(count).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        return (logits / self._temperature).softmax(-1)

    def draw(self, probabilities: Tensor) -> Tensor:
        """int64 [...] for probabilities [..., n] of at most two dimensions."""
        if self._temperature == 0:
            return probabilities.argmax(-1)
        drawn = torch.multinomial(probabilities, 1, generator=self._generator)
        return drawn.squeeze(-1)
