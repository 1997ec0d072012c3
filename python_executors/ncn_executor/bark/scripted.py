"""Networks that come as TorchScript: their own code, which keeps nothing between calls.

    causal: forward(tokens: int64 [1, t], merge_context: bool) -> logits [1, any, vocab]
    fine:   forward(codebook: int, codes: int64 [1, t, 8]) -> logits [1, t, vocab]

The last position's logits of the causal one count.
"""

import copy
from pathlib import Path
from typing import Any

import torch

from ncn_executor.backends.torchscript import writes_state
from ncn_executor.bark.weights import check_finite, unreadable
from ncn_executor.errors import (
    ErrorCode,
    ExecutorError,
    first_line,
    is_out_of_memory,
)

Tensor = Any


class Script:
    """A TorchScript archive that is called; no call sees what another left behind."""

    def __init__(self, path: Path) -> None:
        try:
            module = torch.jit.load(str(path), map_location="cpu").eval()
        except RuntimeError as error:
            raise unreadable(path, error) from error
        for name, weight in module.state_dict().items():
            check_finite(path, name, weight)
        self._module = module
        self._keeps_state = writes_state(module)

    def __call__(self, *arguments: Any) -> Tensor:
        """Calls the module, which shall return one tensor."""
        module = copy.deepcopy(self._module) if self._keeps_state else self._module
        try:
            result = module(*arguments)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ExecutorError(
                ErrorCode.INVALID_MODEL,
                f"the TorchScript network failed: {first_line(error)}",
                field="model",
                expected="a network that is called as README.md says",
                found="one that fails",
            ) from error
        if not torch.is_tensor(result):
            raise ExecutorError(
                ErrorCode.INVALID_MODEL,
                "the TorchScript network returns no tensor",
                field="model",
                expected="a tensor",
                found=type(result).__name__,
            )
        return result


class ScriptedGpt:
    """A causal network; each step computes all that went before again."""

    def __init__(self, module: Script, vocab_size: int) -> None:
        self._module = module
        self._vocab_size = vocab_size

    def start(self, tokens: Tensor, merge_context: bool = False) -> Tensor:
        """As Gpt.start."""
        self._tokens, self._merge_context = tokens, merge_context
        logits = self._module(self._tokens[None], self._merge_context)
        if logits.ndim != 3 or logits.shape[-1] < self._vocab_size:
            raise _wrong_shape(f"[1, any, at least {self._vocab_size}]", logits)
        return logits[0, -1]

    def step(self, token: int) -> Tensor:
        """As Gpt.step."""
        grown = torch.cat((self._tokens, torch.tensor([token])))
        return self.start(grown, self._merge_context)


class ScriptedFineGpt:
    """A network of the fine stage."""

    def __init__(self, module: Script, vocab_size: int) -> None:
        self._module = module
        self._vocab_size = vocab_size

    def logits(self, codebook: int, codes: Tensor) -> Tensor:
        """As FineGpt.logits."""
        logits = self._module(codebook, codes[None])
        fits = logits.ndim == 3 and logits.shape[1] == len(codes)
        if not fits or logits.shape[2] < self._vocab_size:
            wanted = f"[1, {len(codes)}, at least {self._vocab_size}]"
            raise _wrong_shape(wanted, logits)
        return logits[0]


def _wrong_shape(expected: str, logits: Tensor) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        "the TorchScript network gives logits of another shape",
        field="model",
        expected=expected,
        found=str(list(logits.shape)),
    )
