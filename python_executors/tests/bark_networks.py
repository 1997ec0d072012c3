"""Bark's networks as modules with a `forward` of their own, for TorchScript.

Written apart from the code under test, with the names of the published weights.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int, bias: bool, causal: bool) -> None:
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)
        self.heads, self.causal = heads, causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        size = width // self.heads
        q, k, v = self.c_attn(x).split(width, dim=2)
        q = q.view(batch, length, self.heads, size).transpose(1, 2)
        k = k.view(batch, length, self.heads, size).transpose(1, 2)
        v = v.view(batch, length, self.heads, size).transpose(1, 2)
        scores = q @ k.transpose(2, 3) / size**0.5
        if self.causal:
            later = torch.ones(length, length).triu(1) > 0
            scores = scores.masked_fill(later, float("-inf"))
        y = scores.softmax(3) @ v
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(functional.gelu(self.c_fc(x)))


class Block(nn.Module):  # type: ignore[misc]
    def __init__(
        self, width: int, heads: int, bias: bool, norm_bias: bool, causal: bool
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=norm_bias)
        self.attn = Attention(width, heads, bias, causal)
        self.ln_2 = nn.LayerNorm(width, bias=norm_bias)
        self.mlp = Mlp(width, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Body(nn.Module):  # type: ignore[misc]
    """What is called `transformer` in a checkpoint."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        books = arguments.get("n_codes_total", 0)
        width, bias = arguments["n_embd"], arguments["bias"]
        vocabulary = arguments["input_vocab_size"]
        if books:
            self.wtes = nn.ModuleList(
                nn.Embedding(vocabulary, width) for _ in range(books)
            )
        else:
            self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(arguments["block_size"], width)
        norm_bias = bias or books > 0
        self.h = nn.ModuleList(
            Block(width, arguments["n_head"], bias, norm_bias, books == 0)
            for _ in range(arguments["n_layer"])
        )
        self.ln_f = nn.LayerNorm(width, bias=norm_bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[1, t, width], from what the tokens stand for."""
        x = x + self.wpe.weight[: x.size(1)]
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class Causal(nn.Module):  # type: ignore[misc]
    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.transformer = Body(arguments)
        width = arguments["n_embd"]
        self.lm_head = nn.Linear(width, arguments["output_vocab_size"], bias=False)

    def forward(self, tokens: torch.Tensor, merge_context: bool) -> torch.Tensor:
        x = self.transformer.wte(tokens)
        if merge_context:
            x = torch.cat((x[:, :256] + x[:, 256:512], x[:, 512:]), 1)
        return self.lm_head(self.transformer(x)[:, -1:])


class Fine(nn.Module):  # type: ignore[misc]
    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.transformer = Body(arguments)
        width, self.given = arguments["n_embd"], int(arguments["n_codes_given"])
        self.lm_heads = nn.ModuleList(
            nn.Linear(width, arguments["output_vocab_size"], bias=False)
            for _ in range(arguments["n_codes_total"] - self.given)
        )

    def forward(self, codebook: int, codes: torch.Tensor) -> torch.Tensor:
        x = torch.zeros(1, codes.size(1), self.transformer.wpe.weight.size(1))
        for book, table in enumerate(self.transformer.wtes):
            if book <= codebook:
                x = x + table(codes[:, :, book])
        hidden = self.transformer(x)
        logits = torch.zeros(0)
        for index, head in enumerate(self.lm_heads):
            if index == codebook - self.given:
                logits = head(hidden)
        return logits


def scripted(stage: str, weights: dict[str, Any], arguments: dict[str, Any]) -> Any:
    """The network of a stage as TorchScript, with these weights."""
    network: Any = Fine(arguments) if stage == "fine" else Causal(arguments)
    network.load_state_dict(weights, strict=True)
    return torch.jit.script(network.eval())
