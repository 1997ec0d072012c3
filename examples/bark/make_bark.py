"""Makes a small model of Bark that babbles: the real architecture, no training.

python3 make_bark.py --output FOLDER

Its networks have the vocabularies and the inputs of the published ones, but few and
narrow layers with random weights. Neighbouring codes have similar embeddings, so that a
code is followed by one near it and the voice glides; the codec, which stands in for
EnCodec's decoder, sings what the codes say. Everything random is seeded.
"""

import argparse
import math
import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ncn_executor.bark import constants as bark
from ncn_executor.bark.architecture import GptConfig, parameter_shapes

SEED = 24_000
WIDTH, HEADS, LAYERS = 32, 4, 2
SPEECH_SECONDS = 3.0  # On average.
_TEMPERATURE = 0.7  # What logits are divided by when a request does not say.
_LOGIT_SPREAD = 1.4
MANIFEST = """\
[model]
name = "bark"
version = "1.0.0"
format = "checkpoint"
file = "semantic.pt"
license = "Apache-2.0"
description = "Babbles: Bark's architecture, small and untrained."

[limits]
timeout_secs = 120
"""
# Stage -> the sizes of its vocabularies.
VOCABULARIES = {
    "semantic": (129_600, 10_048),
    "coarse": (12_096, 12_096),
    "fine": (1056, 1056),
}


def config_of(stage: str) -> GptConfig:
    """The sizes of a stage's network."""
    is_fine = stage == "fine"
    return GptConfig(
        block_size=bark.BLOCK_SIZE,
        input_vocab_size=VOCABULARIES[stage][0],
        output_vocab_size=VOCABULARIES[stage][1],
        n_layer=LAYERS,
        n_head=HEADS,
        n_embd=WIDTH,
        bias=True,
        n_codes_total=bark.FINE_CODEBOOKS if is_fine else 0,
        n_codes_given=1 if is_fine else 0,
    )


def make_weights(stage: str, generator: Any) -> dict[str, Any]:
    """The weights of a stage by their published names."""
    weights = {}
    for name, shape in parameter_shapes(config_of(stage)).items():
        is_norm = ".ln_" in name and name.endswith("weight")
        is_table = ".wte" in name
        spread = 1.0 if is_table else 0.02 if ".wpe" in name else 0.1
        weights[name] = torch.randn(shape, generator=generator) * spread
        if is_norm:
            weights[name] = torch.ones(shape)
        elif name.endswith("bias"):
            weights[name] = torch.zeros(shape)
    if stage == "semantic":
        _end_sometimes(weights)
    elif stage == "coarse":
        _glide(weights)
    else:
        for book in range(1, bark.FINE_CODEBOOKS):  # Shared in published ones, too.
            weights[f"transformer.wtes.{book}.weight"] = weights[
                f"lm_heads.{book - 1}.weight"
            ]
    return weights


def _end_sometimes(weights: dict[str, Any]) -> None:
    """Gives the end of speech a constant logit that the others outweigh for seconds.

    Normalised features add up to nothing, so equal weights see the bias alone.
    """
    weights["transformer.ln_f.bias"].fill_(1.0)
    head = weights["lm_head.weight"]
    head -= head.mean(1, keepdim=True)
    head *= _LOGIT_SPREAD / (head.std() * math.sqrt(WIDTH))
    steps = SPEECH_SECONDS * bark.SEMANTIC_RATE_HZ
    # The mean of exp(x) for normal x; then what one step in so many is worth.
    others = (
        math.log(bark.SEMANTIC_VOCAB_SIZE) + (_LOGIT_SPREAD / _TEMPERATURE) ** 2 / 2
    )
    logit = _TEMPERATURE * (others - math.log(steps))
    head[bark.SEMANTIC_PAD_TOKEN] = logit / WIDTH


def _glide(weights: dict[str, Any]) -> None:
    """Gives a code of either codebook the same features, close to its neighbours'."""
    code = torch.arange(bark.CODEBOOK_SIZE)[:, None] / bark.CODEBOOK_SIZE
    angles = code * math.pi * torch.logspace(0, 1.6, WIDTH // 2)
    features = torch.cat((angles.sin(), angles.cos()), 1)
    for book in range(bark.COARSE_CODEBOOKS):
        first = bark.SEMANTIC_VOCAB_SIZE + book * bark.CODEBOOK_SIZE
        rows = slice(first, first + bark.CODEBOOK_SIZE)
        weights["transformer.wte.weight"][rows] = features * 2
        weights["lm_head.weight"][rows] = features * 0.45


class Codec(torch.nn.Module):  # type: ignore[misc]
    """Sings: the first codebook is the pitch, the second the vowel, others loudness.

    As EnCodec's decoder does, it makes 320 samples of each frame of 8 codes.
    """

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        frames = codes.float() / 1024.0
        smooth = torch.nn.functional.avg_pool1d(frames, 9, 1, 4, False, False)
        curves = torch.nn.functional.interpolate(
            smooth, scale_factor=320.0, mode="linear", recompute_scale_factor=False
        )
        pitch_hz = 110.0 * torch.pow(2.0, 2.0 * curves[:, 0])
        vowel_hz = 300.0 + 2400.0 * curves[:, 1]
        phase = torch.cumsum(pitch_hz.double(), 1) * (6.283185307179586 / 24000.0)
        sound = torch.zeros_like(pitch_hz)
        for harmonic in range(1, 25):
            away = (pitch_hz * harmonic - vowel_hz) / 500.0
            loud = torch.exp(-away * away) + 0.25 / harmonic
            sound = sound + loud * torch.sin(phase * harmonic).float()
        loudness = 0.2 * torch.sigmoid(40.0 * (curves[:, 2:].mean(1) - 0.5))
        return (sound * loudness).unsqueeze(1)


def vocabulary() -> list[str]:
    """Letters, digits and marks, so that any English text is known letter by letter."""
    letters = string.ascii_letters + string.digits
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*specials, *string.punctuation, *letters, *(f"##{c}" for c in letters)]


def make_voice(code: int, random: np.random.Generator) -> dict[str, Any]:
    """Six seconds of somebody whose codes stay near one."""
    semantic = random.integers(0, bark.SEMANTIC_VOCAB_SIZE, 300)
    frames = round(len(semantic) * bark.COARSE_RATE_HZ / bark.SEMANTIC_RATE_HZ)
    fine = random.integers(0, bark.CODEBOOK_SIZE, (bark.FINE_CODEBOOKS, frames))
    fine[: bark.COARSE_CODEBOOKS] = code + random.integers(-9, 10, frames)
    return {
        "semantic_prompt": semantic,
        "coarse_prompt": fine[: bark.COARSE_CODEBOOKS],
        "fine_prompt": fine,
    }


def make_model(folder: Path) -> None:
    """Writes the whole model."""
    generator = torch.Generator().manual_seed(SEED)
    for stage in VOCABULARIES:
        content = {
            "model": {
                f"_orig_mod.{name}": weight
                for name, weight in make_weights(stage, generator).items()
            },
            "model_args": {**vars(config_of(stage)), "dropout": 0.0},
        }
        torch.save(content, str(folder / f"{stage}.pt"))
    torch.jit.script(Codec()).save(str(folder / "codec.pt"))
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n")
    (folder / "model.toml").write_text(MANIFEST)
    (folder / "voices").mkdir()
    random = np.random.default_rng(SEED)
    for name, code in (("low", 100), ("high", 900)):
        np.savez(folder / "voices" / f"{name}.npz", **make_voice(code, random))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER")
    folder = parser.parse_args().output / "models" / "bark"
    folder.mkdir(parents=True)
    make_model(folder)


if __name__ == "__main__":
    main()
