"""The forms that Bark's networks come in, and what is refused of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bark_models as models
import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from bark_reference import Reference
from conftest import Run, question, tensor
from ncn_executor.bark.checkpoint import load_network
from ncn_executor.bark.codec import Codec
from ncn_executor.bark.files import find_stages
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import find_model

from bark_model_executor import BarkModelExecutor
from fine_model_executor import FineModelExecutor

TOLERANCE = 1e-4
CODES = np.random.default_rng(3).integers(0, 1025, (8, 50))
TOKENS = np.random.default_rng(3).integers(0, 10_000, 530)


def refused(path: Path, stage: str) -> ExecutorError:
    with pytest.raises(ExecutorError) as caught:
        load_network(find_model(path), stage)
    assert caught.value.code is ErrorCode.INVALID_MODEL
    return caught.value


def save(path: Path, stage: str, weights: Any = None, **changes: Any) -> Path:
    chosen = models.weights_of(stage) if weights is None else weights
    return models.save_checkpoint(path, chosen, models.arguments_of(stage, **changes))


def fine_logits(path: Path) -> Any:
    loaded: Any = load_network(find_model(path), "fine")
    return loaded.logits(4, torch.from_numpy(CODES.T.copy())).numpy()


def wanted_fine_logits() -> Any:
    arguments = models.arguments_of("fine")
    return Reference(models.weights_of("fine"), arguments).fine(4, CODES)


def without_prefix(path: Path) -> Path:
    weights, arguments = models.weights_of("fine"), models.arguments_of("fine")
    weights["transformer.h.0.attn.bias"] = torch.ones(1, 1, 1024, 1024).tril()
    return models.save_checkpoint(path / "m.pt", weights, arguments, prefix="")


def as_safetensors(path: Path) -> Path:
    weights, arguments = models.weights_of("fine"), models.arguments_of("fine")
    return models.save_safetensors(path / "m.safetensors", weights, arguments)


def with_heads_only(path: Path) -> Path:
    weights = models.weights_of("fine")
    for book in range(1, 8):
        del weights[f"transformer.wtes.{book}.weight"]
    return save(path / "m.pt", "fine", weights)


@pytest.mark.parametrize("make", [without_prefix, as_safetensors, with_heads_only])
def test_every_form_computes_the_same(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    found = fine_logits(make(tmp_path))
    assert np.abs(found - wanted_fine_logits()).max() < TOLERANCE


def test_half_precision_is_computed_in_full(tmp_path: Path) -> None:
    halves = {k: w.half() for k, w in models.weights_of("fine").items()}
    found = fine_logits(save(tmp_path / "m.pt", "fine", halves))
    assert found.dtype == np.float32
    assert np.abs(found - wanted_fine_logits()).max() < 0.1


def test_one_vocabulary_may_stand_for_both(tmp_path: Path) -> None:
    arguments = models.arguments_of("coarse")
    arguments["vocab_size"] = arguments.pop("input_vocab_size")
    del arguments["output_vocab_size"]
    weights = models.weights_of("coarse")
    path = models.save_checkpoint(tmp_path / "m.pt", weights, arguments)
    loaded: Any = load_network(find_model(path), "coarse")
    assert loaded.config.output_vocab_size == 12_096


class Scripted(torch.nn.Module):  # type: ignore[misc]
    """Logits that tell what a causal network was called with."""

    def forward(self, tokens: torch.Tensor, merge_context: bool) -> torch.Tensor:
        logits = torch.zeros(1, 1, 12_096)
        logits[0, 0, 10_000 + int(tokens.sum()) % 2048] = 9.0 + int(merge_context)
        return logits


class ScriptedFine(torch.nn.Module):  # type: ignore[misc]
    def forward(self, codebook: int, codes: torch.Tensor) -> torch.Tensor:
        best = (codes[:, :, 0] + codebook) % 1024
        return torch.nn.functional.one_hot(best, 1056).float()


class Narrow(torch.nn.Module):  # type: ignore[misc]
    def forward(self, first: torch.Tensor, second: bool) -> torch.Tensor:
        return torch.zeros(1, 1, 5)


class NarrowFine(torch.nn.Module):  # type: ignore[misc]
    def forward(self, first: int, second: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 5, 5)


class Silent(torch.nn.Module):  # type: ignore[misc]
    def forward(self, first: torch.Tensor, second: bool) -> int:
        return 3


class Infinite(torch.nn.Module):  # type: ignore[misc]
    def forward(self, first: torch.Tensor, second: bool) -> torch.Tensor:
        return torch.full((1, 1, 13_000), torch.inf)


def scripted(path: Path, module: Any) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def test_torchscript_brings_its_own_code(run: Run, tmp_path: Path) -> None:
    loaded: Any = load_network(
        find_model(scripted(tmp_path / "c.pt", Scripted())), "semantic"
    )
    first = loaded.start(torch.tensor([5, 6]), True)
    assert (int(first.argmax()), float(first.max())) == (10_011, 10.0)
    assert int(loaded.step(7).argmax()) == 10_018
    path = scripted(tmp_path / "f.pt", ScriptedFine())
    body = question(tensor([[1, 2], [3, 4]], [2, 2], "INT64", "coarse_tokens"))
    body["parameters"] = {"fine_temperature": 0}
    answer = run(path, body, FineModelExecutor)
    assert np.reshape(answer.data, (8, 2))[7].tolist() == [8, 9]


class Remembering(torch.nn.Module):  # type: ignore[misc]
    """Sound that grows louder with each call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        self.calls += 0.1
        return self.calls.expand(1, 1, 320 * codes.size(2))


def test_no_call_sees_what_another_left_behind(tmp_path: Path) -> None:
    codec = Codec(scripted(tmp_path / "codec.pt", Remembering()))
    codes = torch.zeros(8, 2, dtype=torch.int64)
    assert torch.equal(codec.decode(codes), codec.decode(codes))


@pytest.mark.parametrize(
    ("module", "stage", "what"),
    [
        (Narrow(), "coarse", "[1, 1, 5]"),
        (NarrowFine(), "fine", "[1, 5, 5]"),
        (Silent(), "semantic", "int"),
        (models.Codec(), "coarse", "one that fails"),
        (Infinite(), "coarse", "NaN or Infinity"),
    ],
)
def test_torchscript_that_answers_otherwise_is_refused(
    run: Run, tmp_path: Path, module: Any, stage: str, what: str
) -> None:
    folder = models.bark_folder(tmp_path)
    scripted(folder / f"{stage}.pt", module)
    answer = run(folder, {"text": "hello", "max_seconds": 0.1}, BarkModelExecutor)
    assert answer.code == "INVALID_MODEL"
    assert what in answer.error["found"]


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
@pytest.mark.parametrize("other", ["semantic", "coarse", "fine"])
def test_the_network_of_another_stage_is_refused(
    tmp_path: Path, stage: str, other: str
) -> None:
    path = models.save_stage(tmp_path / "m.pt", other)
    if stage == other:
        load_network(find_model(path), stage)
        return
    error = refused(path, stage)
    assert error.field == "model_args"
    assert f"not the network of the {stage} stage" in error.message


@pytest.mark.parametrize(
    ("stage", "changes", "field"),
    [
        ("coarse", {"block_size": 512}, "model_args.block_size"),
        ("coarse", {"n_embd": 16}, "weights.transformer.wte.weight"),
        ("coarse", {"n_layer": 3}, "weights"),
        ("coarse", {"n_layer": 1}, "weights"),
        ("coarse", {"n_layer": 2000}, "model_args"),
        ("coarse", {"n_head": 3}, "model_args"),
        ("coarse", {"n_head": 0}, "model_args.n_head"),
        ("coarse", {"n_embd": 2**40}, "model_args.n_embd"),
        ("coarse", {"n_embd": "8"}, "model_args.n_embd"),
        ("coarse", {"bias": 1}, "model_args.bias"),
        ("coarse", {"bias": True}, "weights"),
        ("fine", {"n_codes_given": 3}, "model_args.n_codes_total"),
        ("fine", {"n_codes_total": 6}, "model_args.n_codes_total"),
    ],
)
def test_a_checkpoint_of_another_size_is_refused(
    tmp_path: Path, stage: str, changes: dict[str, Any], field: str
) -> None:
    error = refused(save(tmp_path / "m.pt", stage, **changes), stage)
    assert error.field == field
    assert error.expected and error.found


@pytest.mark.parametrize(("value", "word"), [(torch.nan, "NaN"), (-torch.inf, "Inf")])
def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, value: float, word: str
) -> None:
    weights = models.weights_of("coarse")
    weights["transformer.h.1.ln_2.weight"][3] = value
    error = refused(save(tmp_path / "m.pt", "coarse", weights), "coarse")
    assert error.field == "weights.transformer.h.1.ln_2.weight"
    assert word in error.found
    module = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(module.weight, value)
    path = scripted(tmp_path / "scripted.pt", module)
    assert refused(path, "coarse").field == "weights.weight"


def test_weights_whose_sum_is_too_large_are_numbers_still(tmp_path: Path) -> None:
    weights = models.weights_of("coarse")
    weights["transformer.h.0.mlp.c_fc.weight"].fill_(3e38)
    load_network(find_model(save(tmp_path / "m.pt", "coarse", weights)), "coarse")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    weights = models.weights_of("coarse")
    weights["lm_head.weight"] = weights["lm_head.weight"].int()
    error = refused(save(tmp_path / "m.pt", "coarse", weights), "coarse")
    assert "int32" in error.found


class Sneaky:
    def __reduce__(self) -> Any:
        return print, ("a checkpoint ran code",)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"model": Sneaky(), "model_args": {}}, "other objects"),
        ({"state_dict": {}}, "state_dict"),
        ([1, 2], "no keys"),
        ({"model": {"a": 1}, "model_args": {}}, "something else"),
        ({"model": {}, "model_args": None}, "none"),
    ],
)
def test_other_checkpoints_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, found: str
) -> None:
    torch.save(content, str(tmp_path / "m.pt"))
    assert refused(tmp_path / "m.pt", "coarse").found == found
    assert "ran code" not in capsys.readouterr().out


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = models.save_stage(tmp_path / "m.pt", "fine")
    data = bytearray(path.read_bytes())
    at = data.index(b"data.pkl") + 100
    data[at : at + 64] = bytes(64)
    path.write_bytes(data)
    refused(path, "fine")
    weights = models.weights_of("fine")
    untold = tmp_path / "m.safetensors"
    safetensors.torch.save_file({k: w.clone() for k, w in weights.items()}, str(untold))
    assert refused(untold, "fine").field == "model_args"
    safetensors.torch.save_file({"a": torch.ones(1)}, str(untold), {"model_args": "{"})
    assert "cannot be loaded" in refused(untold, "fine").message
    broken = tmp_path / "scripted.pt"
    data = bytearray(scripted(broken, ScriptedFine()).read_bytes())
    at = data.index(b"/code/") + 200
    data[at : at + 100] = bytes(100)
    broken.write_bytes(data)
    refused(broken, "fine")


def test_an_onnx_model_is_no_stage(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ExecutorError) as caught:
        load_network(find_model(path), "coarse")
    assert caught.value.code is ErrorCode.UNSUPPORTED_MODEL


ALL = BarkModelExecutor.STAGES


def missing(folder: Path, stages: tuple[str, ...] = ALL) -> ExecutorError:
    with pytest.raises(ExecutorError) as caught:
        find_stages(folder, stages)
    assert caught.value.code is ErrorCode.INVALID_MODEL
    return caught.value


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)
    (folder / "coarse.pt").rename(folder / "rough.pt")
    error = missing(folder)
    assert error.field == "coarse"
    assert "coarse_2.pt" in error.expected
    assert "rough.pt" in error.found
    # Published names do as well.
    (folder / "rough.pt").rename(folder / "coarse_2.pt")
    (folder / "semantic.pt").rename(folder / "text_2.pt")
    (folder / "model.toml").write_text('[model]\nfile = "text_2.pt"\n')
    found = find_stages(folder, ALL)
    assert (found.name, list(found.networks)) == (
        "bark",
        ["semantic", "coarse", "fine"],
    )


def test_two_files_for_a_stage_are_one_too_many(tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)
    models.save_stage(folder / "fine_2.pt", "fine")
    assert missing(folder).found == "fine.pt, fine_2.pt"


def test_a_stage_is_found_in_its_own_folder(tmp_path: Path) -> None:
    models.save_stage(tmp_path / "fine.pt", "fine")
    models.save_codec(tmp_path / "codec.pt")
    assert find_stages(tmp_path, ("fine", "codec")).codec is not None
    (tmp_path / "fine.pt").rename(tmp_path / "f.pt")
    (tmp_path / "model.toml").write_text('[model]\nfile = "f.pt"\nname = "mine"\n')
    assert find_stages(tmp_path, ("fine", "codec")).name == "mine"


def test_a_codec_has_to_be_torchscript(tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)
    models.save_stage(folder / "codec.pt", "fine")
    assert (missing(folder).field, missing(folder).found) == ("codec", "checkpoint")


class Stereo(torch.nn.Module):  # type: ignore[misc]
    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 2, 320)


class Noisy(torch.nn.Module):  # type: ignore[misc]
    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return torch.full((1, 1, 320), torch.nan)


@pytest.mark.parametrize(
    ("module", "found"), [(Stereo(), "[1, 2, 320]"), (Noisy(), "NaN")]
)
def test_a_codec_that_gives_no_sound_is_refused(
    run: Run, tmp_path: Path, module: Any, found: str
) -> None:
    models.save_stage(tmp_path / "fine.pt", "fine")
    models.save_codec(tmp_path / "codec.pt", module)
    body = question(tensor([1] * 16, [8, 2], "INT64", "fine_tokens"))
    answer = run(tmp_path / "fine.pt", body, FineModelExecutor)
    assert (answer.code, answer.error["field"]) == ("INVALID_MODEL", "codec")
    assert found in answer.error["found"]
