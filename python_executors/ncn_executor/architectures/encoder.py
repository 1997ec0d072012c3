"""A bidirectional transformer, BERT's: [N, T] INT64 tokens to [N, T, width] FP32."""

from typing import Any

from ncn_executor.architectures.parameters import Parameters
from ncn_executor.architectures.transformer import (
    check_heads,
    check_length,
    split,
    token_spec,
)
from ncn_executor.errors import invalid_input
from ncn_executor.manifest import TensorSpec


def build(parameters: Parameters) -> Any:
    """Makes the network (Devlin et al. 2018, arXiv:1810.04805): learned positions and
    token types, a norm after each part, GELU.

    Parameters: vocabulary, context (most tokens), width, layers, heads, feed_forward
    (4 * width), token_types (2), pooler (a vector for the whole), classes (0: none).
    Weights: BERT's, embeddings.word_embeddings.weight,
    encoder.layer.0.attention.self.query.weight, …, pooler.dense.weight,
    classifier.weight.
    Inputs: input_ids; attention_mask (1 for what counts) and token_type_ids, optional.
    Outputs: last_hidden_state, pooler_output [N, width], logits [N, classes].
    """
    import torch
    from torch import nn
    from torch.nn import functional

    vocabulary = parameters.size("vocabulary")
    context = parameters.size("context")
    width, heads = check_heads(parameters)
    layers = parameters.size("layers")
    feed_forward = parameters.size("feed_forward", 4 * width)
    token_types = parameters.size("token_types", 2)
    pooler = parameters.flag("pooler", True)
    classes = parameters.size("classes", 0, low=0)
    epsilon = 1e-12

    def linear(before: int, after: int, norm: bool = False) -> Any:
        parts: dict[str, Any] = {"dense": nn.Linear(before, after)}
        if norm:
            parts["LayerNorm"] = nn.LayerNorm(after, eps=epsilon)
        return nn.ModuleDict(parts)

    class Layer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            names = ("query", "key", "value")
            own = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
            self.attention = nn.ModuleDict(
                {"self": own, "output": linear(width, width, norm=True)}
            )
            self.intermediate = linear(width, feed_forward)
            self.output = linear(feed_forward, width, norm=True)

        def forward(self, x: Any, mask: Any) -> Any:
            own, output = self.attention["self"], self.attention["output"]
            q, k, v = (split(own[n](x), heads) for n in ("query", "key", "value"))
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            y = y.transpose(1, 2).reshape(x.shape)
            x = output["LayerNorm"](output["dense"](y) + x)
            y = functional.gelu(self.intermediate["dense"](x))
            return self.output["LayerNorm"](self.output["dense"](y) + x)

    class Encoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.ModuleDict(
                {
                    "word_embeddings": nn.Embedding(vocabulary, width),
                    "position_embeddings": nn.Embedding(context, width),
                    "token_type_embeddings": nn.Embedding(token_types, width),
                    "LayerNorm": nn.LayerNorm(width, eps=epsilon),
                }
            )
            stack = nn.ModuleList(Layer() for _ in range(layers))
            self.encoder = nn.ModuleDict({"layer": stack})
            if pooler:
                self.pooler = linear(width, width)
            if classes:
                self.classifier = nn.Linear(width, classes)
            self.inputs = (
                token_spec("input_ids", vocabulary),
                token_spec("attention_mask", 2, optional=True),
                token_spec("token_type_ids", token_types, optional=True),
            )
            self.gives = (
                TensorSpec("last_hidden_state", "FP32", (-1, -1, width)),
                *([TensorSpec("pooler_output", "FP32", (-1, width))] * pooler),
                *([TensorSpec("logits", "FP32", (-1, classes))] * bool(classes)),
            )

        def forward(self, tokens: Any, mask: Any = None, types: Any = None) -> Any:
            check_length("input_ids", tokens, context)
            given = {"attention_mask": mask, "token_type_ids": types}
            for name, other in given.items():
                if other is not None and other.shape != tokens.shape:
                    raise invalid_input(
                        f"the input '{name}' is not as large as the tokens",
                        field=f"inputs.{name}.shape",
                        expected=str(list(tokens.shape)),
                        found=str(list(other.shape)),
                    )
            parts = self.embeddings
            types = torch.zeros_like(tokens) if types is None else types
            x = parts["word_embeddings"](tokens) + parts["token_type_embeddings"](types)
            x = x + parts["position_embeddings"](torch.arange(tokens.shape[1]))
            x = parts["LayerNorm"](x)
            seen = None if mask is None else (mask > 0)[:, None, None, :]
            for layer in self.encoder["layer"]:
                x = layer(x, seen)
            outputs = {"last_hidden_state": x}
            first = x[:, 0]
            if pooler:
                first = torch.tanh(self.pooler["dense"](first))
                outputs["pooler_output"] = first
            if classes:
                outputs["logits"] = self.classifier(first)
            return outputs

    return Encoder()
