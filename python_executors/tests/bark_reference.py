"""Bark's three networks and loops in plain numpy: no cache, no windows kept, no batch.

Written from the description of the model, apart from the code under test, and greedy:
the likeliest token is taken each time.
"""

from typing import Any

import numpy as np
from scipy.special import erf

Array = Any


def norm(x: Array, w: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * w[f"{name}.weight"] + w.get(f"{name}.bias", 0.0)


def linear(x: Array, w: dict[str, Array], name: str) -> Array:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def attend(x: Array, w: dict[str, Array], name: str, heads: int, causal: bool) -> Array:
    """Each position looks at the others, head by head."""
    length, width = x.shape
    size = width // heads
    joined = linear(x, w, f"{name}.c_attn")
    out = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        q = joined[:, :width][:, part]
        k = joined[:, width : 2 * width][:, part]
        v = joined[:, 2 * width :][:, part]
        scores = q @ k.T / np.sqrt(size)
        if causal:
            scores[np.triu_indices(length, 1)] = -np.inf
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, part] = scores / scores.sum(-1, keepdims=True) @ v
    return linear(out, w, f"{name}.c_proj")


def layers(
    x: Array, w: dict[str, Array], count: int, heads: int, causal: bool
) -> Array:
    for index in range(count):
        h = f"transformer.h.{index}"
        x = x + attend(norm(x, w, f"{h}.ln_1"), w, f"{h}.attn", heads, causal)
        inner = linear(norm(x, w, f"{h}.ln_2"), w, f"{h}.mlp.c_fc")
        inner = 0.5 * inner * (1 + erf(inner / np.sqrt(2)))
        x = x + linear(inner, w, f"{h}.mlp.c_proj")
    return norm(x, w, "transformer.ln_f")


class Reference:
    """One stage's weights."""

    def __init__(self, weights: dict[str, Any], arguments: dict[str, Any]) -> None:
        self.w = {name: weight.numpy() for name, weight in weights.items()}
        self.layers, self.heads = arguments["n_layer"], arguments["n_head"]
        self.given = arguments.get("n_codes_given", 0)

    def causal(self, tokens: list[int], merged: bool = False) -> Array:
        """The logits after the last token."""
        x = self.w["transformer.wte.weight"][np.array(tokens)]
        if merged:
            x = np.concatenate([x[:256] + x[256:512], x[512:]])
        x = x + self.w["transformer.wpe.weight"][: len(x)]
        x = layers(x, self.w, self.layers, self.heads, True)
        return x[-1] @ self.w["lm_head.weight"].T

    def fine(self, book: int, codes: Array) -> Array:
        """[t, vocabulary] for codes [8, t]."""
        x = self.w["transformer.wpe.weight"][: codes.shape[1]].copy()
        for b in range(book + 1):
            x += self.w[f"transformer.wtes.{b}.weight"][codes[b]]
        x = layers(x, self.w, self.layers, self.heads, False)
        return x @ self.w[f"lm_heads.{book - self.given}.weight"].T

    def semantic_tokens(
        self, text: list[int], history: list[int], count: int
    ) -> list[int]:
        """At most `count` tokens, fewer when the end is likeliest."""
        start = [token + 10_048 for token in text]
        start += [129_595] * (256 - len(start))
        history = history[-256:]
        start += history + [10_000] * (256 - len(history)) + [129_599]
        found: list[int] = []
        while len(found) < count:
            logits = self.causal(start + found, merged=True)
            token = int(np.argmax(logits[:10_001]))
            if token == 10_000:
                break
            found.append(token)
        return found

    def coarse_tokens(
        self, semantic: list[int], voice: dict[str, Array] | None = None
    ) -> Array:
        """[2, m]"""
        ratio = 75 / 49.9 * 2
        past_semantic: list[int] = []
        past_coarse: list[int] = []
        if voice is not None:
            flat = []
            for first, second in voice["coarse_prompt"].T:
                flat += [10_000 + int(first), 11_024 + int(second)]
            said = [int(token) for token in voice["semantic_prompt"]]
            keep = min(int(630 / ratio), len(said) - len(said) % 2)
            keep = min(keep, int(len(flat) / ratio))
            past_semantic = said[-keep:]
            past_coarse = flat[-int(round(keep * ratio)) :][:-2]
        steps = int(len(semantic) * ratio / 2) * 2
        everything = past_semantic + semantic
        found: list[int] = []
        window: list[int] = []
        for step in range(steps):
            if step % 60 == 0:
                at = len(past_semantic) + int(round(step / ratio))
                near = everything[max(0, at - int(630 / ratio)) :][:256]
                near = near + [12_048] * (256 - len(near))
                window = near + [12_050] + (past_coarse + found)[-630:]
                begun = len(found)
            logits = self.causal(window + found[begun:])
            low = 10_000 if step % 2 == 0 else 11_024
            found.append(low + int(np.argmax(logits[low : low + 1024])))
        rows = [[t - 10_000 for t in found[::2]], [t - 11_024 for t in found[1::2]]]
        return np.array(rows)

    def fine_tokens(
        self, coarse: Array, voice: dict[str, Array] | None = None
    ) -> Array:
        """[8, n]"""
        past = voice["fine_prompt"][:, -512:] if voice else np.zeros((8, 0), int)
        length = coarse.shape[1]
        codes = np.full((8, max(1024, past.shape[1] + length)), 1024)
        codes[:, : past.shape[1]] = past
        codes[:2, past.shape[1] : past.shape[1] + length] = coarse
        rounds = 1 + max(0, -(-(length - (1024 - past.shape[1])) // 512))
        for turn in range(rounds):
            begin = min(turn * 512, codes.shape[1] - 1024)
            fill = min(past.shape[1] + turn * 512, codes.shape[1] - 512)
            for book in range(2, 8):
                logits = self.fine(book, codes[:, begin : begin + 1024])[:, :1024]
                best = logits.argmax(-1)
                codes[book, fill : begin + 1024] = best[fill - begin :]
        return codes[:, past.shape[1] : past.shape[1] + length]
