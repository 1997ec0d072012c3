"""Loads the network of one stage from any of the forms that it comes in.

A checkpoint of torch.save is a dictionary with `model_args` and `model`, whose names
may begin with `_orig_mod.`; a safetensors file has the same names, and `model_args` as
JSON in its metadata. TorchScript brings its own code: see `scripted`.
"""

import dataclasses
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ncn_executor.bark import constants as bark
from ncn_executor.bark.architecture import FineGpt, Gpt, GptConfig, parameter_shapes
from ncn_executor.bark.scripted import Script, ScriptedFineGpt, ScriptedGpt
from ncn_executor.bark.weights import check_finite, invalid_file, unreadable
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import ModelFile

CausalNetwork = Gpt | ScriptedGpt
FineNetwork = FineGpt | ScriptedFineGpt
_COMPILED_PREFIX = "_orig_mod."
# A constant of the network that old checkpoints keep.
_CAUSAL_MASK = ".attn.bias"
_SIZE_MAX = 1 << 24
_LAYERS_MAX = 1024
_NAMES_SHOWN = 4
# What a stage puts in and reads out: the least sizes of the vocabularies.
_VOCABULARIES = {
    "semantic": (bark.SEMANTIC_INFER_TOKEN + 1, bark.SEMANTIC_PAD_TOKEN + 1),
    "coarse": (
        bark.COARSE_INFER_TOKEN + 1,
        bark.SEMANTIC_VOCAB_SIZE + bark.COARSE_CODEBOOKS * bark.CODEBOOK_SIZE,
    ),
    "fine": (bark.CODE_PAD_TOKEN + 1, bark.CODEBOOK_SIZE),
}


def load_network(model: ModelFile, stage: str) -> CausalNetwork | FineNetwork:
    """Loads, and refuses what is not the network of that stage.

    Args:
        stage: "semantic", "coarse" or "fine".
    """
    if model.format == "onnx":
        raise ExecutorError(
            ErrorCode.UNSUPPORTED_MODEL,
            f"{model.path.name} is an ONNX model, which stages of Bark cannot be",
            field=stage,
            expected="a torch.save checkpoint, safetensors or TorchScript",
            found="onnx",
            path=str(model.path),
        )
    if model.format == "torchscript":
        module = Script(model.path)
        if stage == "fine":
            return ScriptedFineGpt(module, bark.CODEBOOK_SIZE)
        return ScriptedGpt(module, _VOCABULARIES[stage][1])
    is_safetensors = model.format == "safetensors"
    read = _read_safetensors if is_safetensors else _read_checkpoint
    arguments, found = read(model.path)
    weights = _clean_names(model.path, found)
    config = _config(model.path, arguments, weights)
    _check_stage(model.path, config, stage)
    weights = _check_weights(model.path, config, weights)
    return FineGpt(config, weights) if stage == "fine" else Gpt(config, weights)


def _read_checkpoint(path: Path) -> tuple[Any, Any]:
    """`model_args` and the weights, which stay in the file."""
    try:
        content = torch.load(
            str(path), map_location="cpu", weights_only=True, mmap=True
        )
    except pickle.UnpicklingError as error:
        raise invalid_file(
            path, "holds more than weights", "weights and plain values", "other objects"
        ) from error
    except (RuntimeError, ValueError, KeyError, EOFError) as error:
        raise unreadable(path, error) from error
    if not isinstance(content, dict) or not {"model", "model_args"} <= set(content):
        keys = sorted(map(str, content)) if isinstance(content, dict) else ["no keys"]
        raise invalid_file(
            path,
            "is not a checkpoint of Bark",
            "a dictionary with model and model_args",
            ", ".join(keys[:_NAMES_SHOWN]),
        )
    return content["model_args"], content["model"]


def _read_safetensors(path: Path) -> tuple[Any, Any]:
    """`model_args` of the metadata, and the weights."""
    import safetensors
    import safetensors.torch

    try:
        with safetensors.safe_open(str(path), "pt") as file:
            arguments = json.loads((file.metadata() or {}).get("model_args", "null"))
        return arguments, safetensors.torch.load_file(str(path))
    except (safetensors.SafetensorError, ValueError) as error:
        raise unreadable(path, error) from error


def _clean_names(path: Path, found: Any) -> dict[str, Any]:
    """The weights by their names in `parameter_shapes`."""
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and torch.is_tensor(weight)
        for name, weight in found.items()
    ):
        raise invalid_file(path, "has no weights", "tensors by name", "something else")
    weights = {
        name.removeprefix(_COMPILED_PREFIX): weight
        for name, weight in found.items()
        if not name.endswith(_CAUSAL_MASK)
    }
    # Heads share their weights with the next table: files may keep one of the two.
    for book in range(1, bark.FINE_CODEBOOKS):
        table, head = f"transformer.wtes.{book}.weight", f"lm_heads.{book - 1}.weight"
        for name, other in ((table, head), (head, table)):
            if name not in weights and other in weights:
                weights[name] = weights[other]
    return weights


def _config(path: Path, arguments: Any, weights: Mapping[str, Any]) -> GptConfig:
    """Checks `model_args`."""
    if not isinstance(arguments, dict):
        raise invalid_file(
            path, "says no sizes", "model_args, an object", "none", field="model_args"
        )
    values = dict(arguments)
    if "vocab_size" in values:  # Older checkpoints have one vocabulary.
        values.setdefault("input_vocab_size", values["vocab_size"])
        values.setdefault("output_vocab_size", values["vocab_size"])
    if "transformer.wtes.0.weight" in weights:
        values.setdefault("n_codes_total", bark.FINE_CODEBOOKS)
        values.setdefault("n_codes_given", 1)
    else:
        values["n_codes_total"] = values["n_codes_given"] = 0
    values.setdefault("bias", True)
    for field in dataclasses.fields(GptConfig):
        value: Any = values.get(field.name)
        least = 0 if field.name.startswith("n_codes") else 1
        if field.name == "bias":
            is_fit = isinstance(value, bool)
        else:
            is_fit = type(value) is int and least <= value <= _SIZE_MAX
        if not is_fit:
            raise invalid_file(
                path,
                f"has a wrong {field.name}",
                "true or false" if field.name == "bias" else "a whole number",
                repr(value)[:40],
                field=f"model_args.{field.name}",
            )
    config = GptConfig(
        **{f.name: values[f.name] for f in dataclasses.fields(GptConfig)}
    )
    if config.n_embd % config.n_head or config.n_layer > _LAYERS_MAX:
        raise invalid_file(
            path,
            "has sizes that do not fit together",
            f"n_embd a multiple of n_head, and at most {_LAYERS_MAX} layers",
            f"n_embd {config.n_embd}, n_head {config.n_head}, {config.n_layer} layers",
            field="model_args",
        )
    return config


def _check_stage(path: Path, config: GptConfig, stage: str) -> None:
    """Refuses the network of another stage, and one that sees too little."""
    inputs, outputs = _VOCABULARIES[stage]
    is_fine = config.n_codes_total > 0
    if (
        is_fine != (stage == "fine")
        or config.input_vocab_size < inputs
        or config.output_vocab_size < outputs
    ):
        kind = "fine" if is_fine else "causal"
        raise invalid_file(
            path,
            f"is not the network of the {stage} stage",
            f"{'a fine' if stage == 'fine' else 'a causal'} network, input_vocab_size "
            f"from {inputs}, output_vocab_size from {outputs}",
            f"a {kind} network, {config.input_vocab_size} and "
            f"{config.output_vocab_size}",
            field="model_args",
        )
    if config.block_size < bark.BLOCK_SIZE:
        raise invalid_file(
            path,
            "sees too few positions",
            f"at least {bark.BLOCK_SIZE}",
            str(config.block_size),
            field="model_args.block_size",
        )
    given = config.n_codes_given
    if is_fine and not (
        config.n_codes_total == bark.FINE_CODEBOOKS
        and 1 <= given <= bark.COARSE_CODEBOOKS
    ):
        raise invalid_file(
            path,
            "has another number of codebooks",
            f"{bark.FINE_CODEBOOKS}, of which 1 or {bark.COARSE_CODEBOOKS} are given",
            f"{config.n_codes_total}, of which {given} are given",
            field="model_args.n_codes_total",
        )


def _check_weights(
    path: Path, config: GptConfig, found: Mapping[str, Any]
) -> dict[str, Any]:
    """Every weight there, none too many, each of the right shape, all numbers.

    Returns:
        The weights as FP32; those that are already stay pages of the file.
    """
    shapes = parameter_shapes(config)
    missing = [name for name in shapes if name not in found]
    surplus = [name for name in found if name not in shapes]
    if missing or surplus:
        raise invalid_file(
            path,
            "has other weights than its model_args promise",
            ", ".join(missing[:_NAMES_SHOWN]) or "nothing more",
            ", ".join(surplus[:_NAMES_SHOWN])[:200] or "nothing of that name",
            field="weights",
        )
    weights = {}
    for name, shape in shapes.items():
        if tuple(found[name].shape) != shape or not found[name].is_floating_point():
            raise invalid_file(
                path,
                "has a weight of another size than its model_args promise",
                f"floating-point numbers, {list(shape)}",
                f"{found[name].dtype}, {list(found[name].shape)}",
                field=f"weights.{name}",
            )
        weights[name] = found[name].float()
        check_finite(path, name, weights[name])
    return weights
