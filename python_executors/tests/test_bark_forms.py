"""Each of Bark's stages in each of its forms, against a reference in plain numpy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bark_models as models
import bark_networks
import numpy as np
import pytest
import torch
from bark_reference import Reference
from ncn_executor.bark import coarse, fine, semantic
from ncn_executor.bark.checkpoint import load_network
from ncn_executor.bark.sampling import Sampler
from ncn_executor.formats import find_model

STAGES = ["semantic", "coarse", "fine"]
TEXT = [7, 8, 9, 5]
SEMANTIC_COUNT = 10


def as_checkpoint(folder: Path, stage: str) -> Path:
    return models.save_stage(folder / "m.pt", stage)


def as_safetensors(folder: Path, stage: str) -> Path:
    weights, arguments = models.weights_of(stage), models.arguments_of(stage)
    return models.save_safetensors(folder / "m.safetensors", weights, arguments)


def as_torchscript(folder: Path, stage: str) -> Path:
    weights, arguments = models.weights_of(stage), models.arguments_of(stage)
    path = folder / "m.pt"
    bark_networks.scripted(stage, weights, arguments).save(str(path))
    return path


def found_tokens(stage: str, network: Any) -> Any:
    """What a stage makes when it takes the likeliest token each time."""
    sampler = Sampler(0, None, None, torch.Generator())
    with torch.inference_mode():
        if stage == "semantic":
            return semantic.generate(
                network,
                semantic.context_of(TEXT, []),
                sampler,
                min_eos_p=None,
                max_seconds=(SEMANTIC_COUNT - 0.5) / 49.9,
                tell=lambda done: None,
            )
        make: Any = coarse.generate if stage == "coarse" else fine.generate
        given = torch.from_numpy(given_tokens(stage))
        return make(network, given, None, sampler, lambda done: None)


def given_tokens(stage: str) -> Any:
    random = np.random.default_rng(6)
    if stage == "coarse":
        return random.integers(0, 10_000, 12)
    return random.integers(0, 1024, (2, 20))


def wanted_tokens(stage: str) -> Any:
    reference = Reference(models.weights_of(stage), models.arguments_of(stage))
    if stage == "semantic":
        return np.array(reference.semantic_tokens(TEXT, [], SEMANTIC_COUNT))
    if stage == "coarse":
        return reference.coarse_tokens(given_tokens(stage).tolist())
    return reference.fine_tokens(given_tokens(stage))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("make", [as_checkpoint, as_safetensors, as_torchscript])
def test_each_form_of_each_stage_makes_the_tokens_of_the_reference(
    tmp_path: Path, stage: str, make: Callable[[Path, str], Path]
) -> None:
    model = find_model(make(tmp_path, stage))
    assert (model.format == "torchscript") == (make is as_torchscript)
    found = found_tokens(stage, load_network(model, stage))
    assert found.tolist() == wanted_tokens(stage).tolist()
    assert found.shape[-1] >= SEMANTIC_COUNT
