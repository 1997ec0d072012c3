"""Bark's networks: a causal GPT, and one that looks both ways and fills codebooks.

The layers are GPT-2's; parameters have the names and shapes of the published
checkpoints. Networks compute on the weights they are given, which may be pages of a
file, and make no copies.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from ncn_executor.bark.constants import CONTEXT_TOKENS

Tensor = Any
_NORM_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class GptConfig:
    """The sizes of a network, as `model_args` of a checkpoint gives them.

    Attributes:
        bias: whether linear layers have one; norms of the causal GPT have it then, too.
        n_codes_total: codebooks of the fine network; 0 for the causal one.
        n_codes_given: how many of them it never predicts.
    """

    block_size: int
    input_vocab_size: int
    output_vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    bias: bool
    n_codes_total: int = 0
    n_codes_given: int = 0


def parameter_shapes(config: GptConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's shape by its name in a checkpoint."""
    width = config.n_embd
    is_fine = config.n_codes_total > 0
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out_features: int, in_features: int, bias: bool) -> None:
        shapes[f"{name}.weight"] = (out_features, in_features)
        if bias:
            shapes[f"{name}.bias"] = (out_features,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = (width,)
        if config.bias or is_fine:
            shapes[f"{name}.bias"] = (width,)

    tables = [f"wtes.{book}" for book in range(config.n_codes_total)] or ["wte"]
    for table in tables:
        shapes[f"transformer.{table}.weight"] = (config.input_vocab_size, width)
    shapes["transformer.wpe.weight"] = (config.block_size, width)
    for index in range(config.n_layer):
        layer = f"transformer.h.{index}"
        norm(f"{layer}.ln_1")
        linear(f"{layer}.attn.c_attn", 3 * width, width, config.bias)
        linear(f"{layer}.attn.c_proj", width, width, config.bias)
        norm(f"{layer}.ln_2")
        linear(f"{layer}.mlp.c_fc", 4 * width, width, config.bias)
        linear(f"{layer}.mlp.c_proj", width, 4 * width, config.bias)
    norm("transformer.ln_f")
    predicted = config.n_codes_total - config.n_codes_given
    heads = [f"lm_heads.{book}" for book in range(predicted)] or ["lm_head"]
    for head in heads:
        linear(head, config.output_vocab_size, width, False)
    return shapes


class Gpt:
    """The causal network: tokens so far to logits of the next one.

    Keys and values of what was seen are kept, so that a step computes one position.
    """

    def __init__(self, config: GptConfig, weights: Mapping[str, Tensor]) -> None:
        self.config = config
        self._weights = weights
        self._layers = _layers(config, weights)
        self._seen = 0

    def start(self, tokens: Tensor, merge_context: bool = False) -> Tensor:
        """Begins anew.

        Args:
            tokens: int64 [t].
            merge_context: whether the first CONTEXT_TOKENS tokens and as many after
                them share positions, their embeddings added.

        Returns:
            FP32 [output_vocab_size], the logits after the last token.
        """
        config = self.config
        shape = (config.n_layer, config.n_head, config.block_size, _head_size(config))
        self._keys, self._values = torch.empty(shape), torch.empty(shape)
        self._seen = 0
        embedded = self._weights["transformer.wte.weight"][tokens]
        if merge_context:
            text, history, rest = embedded.tensor_split(
                (CONTEXT_TOKENS, 2 * CONTEXT_TOKENS)
            )
            embedded = torch.cat((text + history, rest))
        return self._forward(embedded)

    def step(self, token: int) -> Tensor:
        """The logits after one more token."""
        return self._forward(self._weights["transformer.wte.weight"][token][None])

    def _forward(self, embedded: Tensor) -> Tensor:
        """Computes the positions of `embedded`, [t, n_embd], after those seen."""
        before, now = self._seen, self._seen + len(embedded)
        assert now <= self.config.block_size
        hidden = embedded + self._weights["transformer.wpe.weight"][before:now]
        for index, layer in enumerate(self._layers):
            query, key, value = _query_key_value(hidden, layer, self.config)
            self._keys[index, :, before:now] = key
            self._values[index, :, before:now] = value
            # Without a past, positions must not see those after them; with one there
            # is a single position, which sees all.
            seen = functional.scaled_dot_product_attention(
                query[None],
                self._keys[index, None, :, :now],
                self._values[index, None, :, :now],
                is_causal=before == 0,
            )
            hidden = _finish_layer(hidden, seen, layer)
        self._seen = now
        last = _norm(hidden[-1], self._weights, "transformer.ln_f")
        return functional.linear(last, self._weights["lm_head.weight"])


class FineGpt:
    """The network of the fine stage: all positions at once, one codebook at a time."""

    def __init__(self, config: GptConfig, weights: Mapping[str, Tensor]) -> None:
        self.config = config
        self._weights = weights
        self._layers = _layers(config, weights)

    def logits(self, codebook: int, codes: Tensor) -> Tensor:
        """What a codebook holds, judged by itself as it is and those before it.

        Args:
            codebook: from n_codes_given to n_codes_total - 1.
            codes: int64 [t, n_codes_total].

        Returns:
            FP32 [t, output_vocab_size].
        """
        weights = self._weights
        hidden = weights["transformer.wpe.weight"][: len(codes)]
        for book in range(codebook + 1):
            hidden = hidden + weights[f"transformer.wtes.{book}.weight"][codes[:, book]]
        for layer in self._layers:
            query, key, value = _query_key_value(hidden, layer, self.config)
            seen = functional.scaled_dot_product_attention(
                query[None], key[None], value[None]
            )
            hidden = _finish_layer(hidden, seen, layer)
        hidden = _norm(hidden, weights, "transformer.ln_f")
        head = f"lm_heads.{codebook - self.config.n_codes_given}.weight"
        return functional.linear(hidden, weights[head])


def _head_size(config: GptConfig) -> int:
    return config.n_embd // config.n_head


def _layers(
    config: GptConfig, weights: Mapping[str, Tensor]
) -> list[dict[str, Tensor]]:
    """The parameters of each layer by their names within it."""
    layers: list[dict[str, Tensor]] = [{} for _ in range(config.n_layer)]
    for name, weight in weights.items():
        if name.startswith("transformer.h."):
            index, _, rest = name.removeprefix("transformer.h.").partition(".")
            layers[int(index)][rest] = weight
    return layers


def _norm(hidden: Tensor, layer: Mapping[str, Tensor], name: str) -> Tensor:
    weight, bias = layer[f"{name}.weight"], layer.get(f"{name}.bias")
    return functional.layer_norm(hidden, weight.shape, weight, bias, _NORM_EPSILON)


def _linear(hidden: Tensor, layer: Mapping[str, Tensor], name: str) -> Tensor:
    return functional.linear(hidden, layer[f"{name}.weight"], layer.get(f"{name}.bias"))


def _query_key_value(
    hidden: Tensor, layer: Mapping[str, Tensor], config: GptConfig
) -> Tensor:
    """[3, n_head, t, head size] for [t, n_embd]."""
    joined = _linear(_norm(hidden, layer, "ln_1"), layer, "attn.c_attn")
    return joined.view(len(hidden), 3, config.n_head, -1).permute(1, 2, 0, 3)


def _finish_layer(hidden: Tensor, seen: Tensor, layer: Mapping[str, Tensor]) -> Tensor:
    """What follows attention; `seen` is [1, n_head, t, head size]."""
    seen = seen[0].transpose(0, 1).reshape(hidden.shape)
    hidden = hidden + _linear(seen, layer, "attn.c_proj")
    inner = functional.gelu(_linear(_norm(hidden, layer, "ln_2"), layer, "mlp.c_fc"))
    return hidden + _linear(inner, layer, "mlp.c_proj")
