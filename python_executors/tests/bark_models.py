"""Tiny checkpoints of Bark: its own vocabularies, but few and narrow layers.

Weights are random. Names and shapes are written out here from the published
checkpoints, not taken from the code under test.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

WIDTH, HEADS, LAYERS = 8, 2, 2
# Stage -> what the checkpoint says of itself; biases in one, none in another.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "semantic": {"input_vocab_size": 129_600, "output_vocab_size": 10_048},
    "coarse": {"input_vocab_size": 12_096, "output_vocab_size": 12_096},
    "fine": {
        "input_vocab_size": 1056,
        "output_vocab_size": 1056,
        "n_codes_total": 8,
        "n_codes_given": 1,
    },
}
for _stage, _arguments in ARGUMENTS.items():
    _arguments |= {"block_size": 1024, "n_layer": LAYERS, "n_head": HEADS}
    _arguments |= {"n_embd": WIDTH, "dropout": 0.0, "bias": _stage != "coarse"}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "!", ",", "hello", "wor"]
VOCABULARY += ["##ld", "the", "##s", "a", "b", "##b"]


def arguments_of(stage: str, **changes: Any) -> dict[str, Any]:
    return {**ARGUMENTS[stage], **changes}


def weights_of(stage: str, seed: int = 1, **changes: Any) -> dict[str, Any]:
    """Random weights, large enough to make some tokens much likelier than others."""
    arguments = arguments_of(stage, **changes)
    generator = torch.Generator().manual_seed(seed)
    width, bias = arguments["n_embd"], arguments["bias"]
    weights: dict[str, Any] = {}

    def add(name: str, *shape: int, around: float = 0.0) -> None:
        weights[name] = torch.randn(*shape, generator=generator) * 0.5 + around

    def linear(name: str, outputs: int, inputs: int) -> None:
        add(f"{name}.weight", outputs, inputs)
        if bias:
            add(f"{name}.bias", outputs)

    def norm(name: str) -> None:
        add(f"{name}.weight", width, around=1.0)
        if bias or stage == "fine":
            add(f"{name}.bias", width)

    if stage == "fine":
        for book in range(8):
            add(f"transformer.wtes.{book}.weight", 1056, width)
    else:
        add("transformer.wte.weight", arguments["input_vocab_size"], width)
    add("transformer.wpe.weight", arguments["block_size"], width)
    for layer in range(arguments["n_layer"]):
        norm(f"transformer.h.{layer}.ln_1")
        linear(f"transformer.h.{layer}.attn.c_attn", 3 * width, width)
        linear(f"transformer.h.{layer}.attn.c_proj", width, width)
        norm(f"transformer.h.{layer}.ln_2")
        linear(f"transformer.h.{layer}.mlp.c_fc", 4 * width, width)
        linear(f"transformer.h.{layer}.mlp.c_proj", width, 4 * width)
    norm("transformer.ln_f")
    if stage == "fine":
        for book in range(7):  # Shared with the next codebook's table.
            weights[f"lm_heads.{book}.weight"] = weights[
                f"transformer.wtes.{book + 1}.weight"
            ]
    else:
        add("lm_head.weight", arguments["output_vocab_size"], width)
    return weights


def save_checkpoint(
    path: Path, weights: Any, arguments: Any, prefix: str = "_orig_mod."
) -> Path:
    """As the published ones are saved."""
    content = {
        "model": {prefix + name: weight for name, weight in weights.items()},
        "model_args": arguments,
        "best_val_loss": torch.tensor(3.0),
        "iter_num": 7,
    }
    torch.save(content, str(path))
    return path


def save_stage(path: Path, stage: str) -> Path:
    """A good checkpoint."""
    return save_checkpoint(path, weights_of(stage), arguments_of(stage))


def save_safetensors(path: Path, weights: dict[str, Any], arguments: Any) -> Path:
    """Weights that share memory are kept once, as safetensors' own tools do."""
    kept: dict[str, Any] = {}
    seen: set[int] = set()
    for name, weight in weights.items():
        if weight.data_ptr() not in seen:
            seen.add(weight.data_ptr())
            kept[name] = weight
    metadata = {"model_args": json.dumps(arguments)}
    safetensors.torch.save_file(kept, str(path), metadata)
    return path


class Codec(torch.nn.Module):  # type: ignore[misc]
    """Takes what EnCodec's decoder takes; 320 samples a frame."""

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        level = codes.float().mean(1, keepdim=True) / 512.0 - 1.0
        return level.repeat_interleave(320, dim=2)


def save_codec(path: Path, module: Any = None) -> Path:
    torch.jit.script(module or Codec()).save(str(path))
    return path


def bark_folder(parent: Path, codec: bool = True) -> Path:
    """A whole model."""
    folder = parent / "bark"
    folder.mkdir()
    for stage in ARGUMENTS:
        save_stage(folder / f"{stage}.pt", stage)
    if codec:
        save_codec(folder / "codec.pt")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (folder / "model.toml").write_text('[model]\nname = "bark"\nfile = "semantic.pt"\n')
    (folder / "voices").mkdir()
    (folder / "voices" / "low.npz").write_bytes(preset_bytes())
    return folder


def preset_arrays(seed: int = 5, semantic: int = 300) -> dict[str, Any]:
    """A voice of so many semantic tokens, and frames to match."""
    random = np.random.default_rng(seed)
    frames = round(semantic * 75 / 49.9)
    return {
        "semantic_prompt": random.integers(0, 10_000, semantic),
        "coarse_prompt": random.integers(0, 1024, (2, frames)).astype(np.int32),
        "fine_prompt": random.integers(0, 1024, (8, frames)).astype(np.int32),
    }


def preset_bytes(**changes: Any) -> bytes:
    """An .npz file; a change to None leaves an array out."""
    arrays = {**preset_arrays(), **changes}
    file = io.BytesIO()
    np.savez(file, **{k: v for k, v in arrays.items() if v is not None})
    return file.getvalue()
