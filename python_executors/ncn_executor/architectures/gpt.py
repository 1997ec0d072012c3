"""A causal transformer, GPT-2's: [N, T] INT64 tokens to [N, T, vocabulary] FP32."""

from typing import Any

from ncn_executor.architectures.parameters import Parameters
from ncn_executor.architectures.transformer import (
    check_heads,
    check_length,
    split,
    token_spec,
)
from ncn_executor.manifest import TensorSpec


def build(parameters: Parameters) -> Any:
    """Makes the network (Radford et al. 2019, "Language Models are Unsupervised
    Multitask Learners"): learned positions, a norm before each part, GELU.

    Parameters: vocabulary, context (most tokens), width, layers, heads, bias (of all
    linear layers and norms), tied (the output's weights are the tokens').
    Weights: those of GPT-2, transformer.wte.weight, transformer.h.0.attn.c_attn.weight
    and so on, with matrices as torch's Linear stores them, [to, from].
    """
    import torch
    from torch import nn
    from torch.nn import functional

    vocabulary = parameters.size("vocabulary")
    context = parameters.size("context")
    width, heads = check_heads(parameters)
    layers = parameters.size("layers")
    bias = parameters.flag("bias", True)
    tied = parameters.flag("tied", True)

    class Attention(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width, bias=bias)
            self.c_proj = nn.Linear(width, width, bias=bias)

        def forward(self, x: Any) -> Any:
            q, k, v = (split(part, heads) for part in self.c_attn(x).split(width, 2))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.transpose(1, 2).reshape(x.shape))

    class Mlp(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.c_fc = nn.Linear(width, 4 * width, bias=bias)
            self.c_proj = nn.Linear(4 * width, width, bias=bias)

        def forward(self, x: Any) -> Any:
            return self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.attn = nn.LayerNorm(width, bias=bias), Attention()
            self.ln_2, self.mlp = nn.LayerNorm(width, bias=bias), Mlp()

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Gpt(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.transformer = nn.ModuleDict(
                {
                    "wte": nn.Embedding(vocabulary, width),
                    "wpe": nn.Embedding(context, width),
                    "h": nn.ModuleList(Block() for _ in range(layers)),
                    "ln_f": nn.LayerNorm(width, bias=bias),
                }
            )
            if not tied:
                self.lm_head = nn.Linear(width, vocabulary, bias=False)
            self.inputs = (token_spec("tokens", vocabulary),)
            self.gives = (TensorSpec("logits", "FP32", (-1, -1, vocabulary)),)

        def forward(self, tokens: Any) -> Any:
            check_length("tokens", tokens, context)
            parts = self.transformer
            places = torch.arange(tokens.shape[1])
            x = parts["wte"](tokens) + parts["wpe"](places)
            for block in parts["h"]:
                x = block(x)
            x = parts["ln_f"](x)
            head = parts["wte"].weight if tied else self.lm_head.weight
            return {"logits": functional.linear(x, head)}

    return Gpt()
